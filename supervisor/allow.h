// [allow]: what a tenant may have beyond the default, by jail(8)'s names. Everything else about the
// walls is the same for all tenants. What none of these names opens stays shut: no entry may move
// the network namespace, add io_uring or the kernel's keyrings.
#pragma once

#include <array>
#include <map>
#include <string>

#include "base/result.h"

namespace bailey::supervisor {

struct Allow {
  bool set_hostname = true;  // sethostname(2), carried out by the supervisor
  bool raw_sockets = false;  // SOCK_RAW for IPv4 and IPv6, made by the supervisor
  bool mount = false;        // a mount namespace of the tenant's own, and CAP_SYS_ADMIN over it
  bool mlock = false;        // no RLIMIT_MEMLOCK: the memory limit alone holds
  bool operator==(const Allow&) const = default;
};

struct AllowName {
  const char* name;
  bool Allow::*flag;
  const char* meaning;
};
inline constexpr auto kAllowNames = std::to_array<AllowName>({
    {"set_hostname", &Allow::set_hostname, "the tenant's root may change its hostname"},
    {"raw_sockets", &Allow::raw_sockets, "raw IP sockets, for traceroute and nmap"},
    {"mount", &Allow::mount, "mount and unmount in a mount namespace of the tenant's own"},
    {"mlock", &Allow::mlock, "lock any amount of memory, within the memory limit"},
});

// From TenantConfig::allow. An unknown name is refused, with the known ones as the hint.
Result<Allow> ParseAllow(const std::map<std::string, bool>& names);

}  // namespace bailey::supervisor
