// The sockets that take a privilege to make and none to use: made here, handed to bailey-netproxy.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ip_address.h"
#include "base/publish_rule.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

// A listener, or a UDP socket, at exactly `ip` and `port` (0: any) on the host, non-blocking. It
// belongs to `owner` (the proxy's uid), by which sock_diag(7) tells other proxies that a tenant
// publishes here.
Result<UniqueFd> MakePublishedSocket(const IpAddress& ip, PublishedPort port, uint32_t owner);

// EADDRINUSE if somebody on the host listens for TCP at `ip` and `port`, be it on the wildcard.
Status CheckNobodyListens(const IpAddress& ip, uint16_t port);

// Nothing arrives at a published socket any more, whoever else has a descriptor of it. EPERM if one
// of those has locked a filter of its own on it (SO_LOCK_FILTER).
Status Silence(Transport transport, int socket);

// Unbound TCP sockets in `netns` that may take any address for their own (IP_TRANSPARENT), so that
// the proxy can connect to the tenant under the client's. Non-blocking.
Result<std::vector<UniqueFd>> MakeInsideSockets(int netns, int family, size_t count);

}  // namespace bailey::supervisor
