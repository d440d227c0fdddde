// What the host's resolv.conf says, for the tenants: whom their proxies ask, and where to search.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"

namespace bailey::tenants {

struct HostResolver {
  std::vector<Endpoint> servers;
  std::string search;  // "example.com example.net", or empty
};

// resolv.conf(5); what cannot be read as it should be is left out.
HostResolver ParseResolvConf(std::string_view text);
// The host's own. Where it names systemd-resolved's stub, the servers that resolved itself asks.
HostResolver ReadHostResolver();

}  // namespace bailey::tenants
