// The proxy's sockets in the tenant's network namespace: where what leaves the tenant arrives.
// Made once, as root, and kept over restarts of the proxy.
#pragma once

#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"
#include "netproxy/kept_fds.h"

namespace bailey::netproxy {

// Names of kept descriptors. The IPv6 ones exist for a tenant with an IPv6 address only; the IPv4
// ones always, for the DNS stub on 127.0.0.53.
inline constexpr char kTcp4[] = "inside.tcp4", kTcp6[] = "inside.tcp6";
inline constexpr char kUdp4[] = "inside.udp4", kUdp6[] = "inside.udp6";
inline constexpr char kRaw4[] = "inside.raw4", kRaw6[] = "inside.raw6";  // datagrams back
inline constexpr char kDiag[] = "inside.diag";                           // sock_diag(7)

std::vector<std::string> InsideFdNames(const IpAddress& tenant_ip);

// Makes them all and puts them where the capture program finds them (AttachPrograms is done).
Status MakeInsideSockets(const IpAddress& tenant_ip, int netns, KeptFds& kept);

}  // namespace bailey::netproxy
