// Which ports of a tenant are published on the host now: the listening sockets at its address that
// its supervisor holds.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "base/ip_address.h"

namespace bailey::tenants {

// Listening TCP sockets of this network namespace: inode → where. /proc/net/tcp, proc_net(5).
std::map<uint64_t, Endpoint> ListeningSockets();
// One of its tables; IPv6 addresses there are four words in host order.
void ParseTcpTable(std::string_view table, std::map<uint64_t, Endpoint>& out);

// Those of them at `ip` that process `pid` holds, sorted.
std::vector<uint16_t> PublishedPorts(const std::map<uint64_t, Endpoint>& listening,
                                     const IpAddress& ip, pid_t pid);

}  // namespace bailey::tenants
