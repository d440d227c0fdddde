// Which ports of a tenant are published on the host now: the listening TCP and the UDP sockets at
// its address that its supervisor holds.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "base/publish_rule.h"

namespace bailey::tenants {

struct ServingSocket {
  Transport transport;
  Endpoint place;
};
// Those of this network namespace, by inode. /proc/net/{tcp,udp}{,6}, proc_net(5).
std::map<uint64_t, ServingSocket> ServingSockets();
// One of its tables; IPv6 addresses there are four words in host order.
void ParseSocketTable(std::string_view table, Transport transport,
                      std::map<uint64_t, ServingSocket>& out);

// Those of them at `ip` that process `pid` holds, sorted.
std::vector<PublishedPort> PublishedPorts(const std::map<uint64_t, ServingSocket>& serving,
                                          const IpAddress& ip, pid_t pid);

}  // namespace bailey::tenants
