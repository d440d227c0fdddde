// ProxyConfig: what one proxy is told about its tenant, and its JSON form. baileyd (tenants/)
// writes it with FormatProxyConfig, the supervisor passes it on unread (TenantConfig::network),
// the proxy reads it from --config-fd and again whenever it changes.
//
//   {"tenant": "acme", "ip": "203.0.113.7",
//    "resolvers": ["192.0.2.53:53", "[2001:db8::53]:53"],
//    "egress": {"default": "allow", "allow": ["10.0.0.5:3306"], "deny": ["*:25"]},
//    "tlsPorts": [443],            absent: none; bailey-tls serves them
//    "publish": [80, "53/udp"],     null or absent: whatever the tenant listens on; PublishRule
//    "connections": 10000,          0 or absent: no limit; likewise in "limits"
//    "limits": {"connectionRate": 100, "destinationRate": 20, "halfOpen": 64, "udpFlows": 256,
//               "bytesIn": 12500000, "bytesOut": 12500000, "idleTimeoutMs": 600000},
//    "peers": ["203.0.113.8", "198.51.100.0/24"],
//    "tenantUids": {"first": 1000000, "last": 1999999}}
//
// "tenant" and "ip" are required. An unknown key is refused: a rule that nobody reads would be a
// wall that does not stand. An update on the control socket is {"op": "config", "network": {…}},
// the whole object again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "base/publish_rule.h"
#include "base/result.h"
#include "netproxy/egress_rule.h"
#include "netproxy/net_limits.h"

namespace bailey::netproxy {

struct EgressConfig {
  bool allow_by_default = true;
  std::vector<EgressRule> allow, deny;
  bool operator==(const EgressConfig&) const = default;
};

// Host uids of all tenants, both ends included; empty when last < first.
struct UidRange {
  uint32_t first = 1, last = 0;
  bool Contains(uint32_t uid) const { return first <= uid && uid <= last; }
  bool operator==(const UidRange&) const = default;
};

struct ProxyConfig {
  std::string tenant;  // for messages only
  IpAddress ip;        // the only source of what leaves, the only place of what is published
  std::vector<Endpoint> resolvers;  // the host's, in the order to ask them; none: no DNS inside
  EgressConfig egress;
  std::optional<std::vector<PublishRule>> publish;  // nullopt: whatever the tenant listens on
  std::vector<uint16_t> tls_ports;                  // where bailey-tls comes first
  uint64_t connections = 0;                         // open at once, both ways; 0: no limit
  NetLimits limits;
  // Where other tenants may live: their addresses, or a range that has them. May contain `ip`.
  // What is in here is reached only through a published listener (Verdict kAskPeer).
  std::vector<Cidr> peers;
  // A socket that listens at a peer's address belongs to a tenant if its owner is in here.
  UidRange tenant_uids;
  bool operator==(const ProxyConfig&) const = default;
};

// Errors: Invalid, naming the key: `network: egress.allow[0]: not a port: "70000"`.
Result<ProxyConfig> ParseProxyConfig(std::string_view json);
std::string FormatProxyConfig(const ProxyConfig& config);
// The update message's form of the same.
Result<ProxyConfig> ParseConfigMessage(std::string_view json);
std::string FormatConfigMessage(const ProxyConfig& config);

// The `nameserver` of the tenant's resolv.conf: what the tenant sends to port 53 of it goes to the
// stub, everything else there stays inside. 127.0.0.53 for every tenant, as systemd-resolved's: lo
// has it in each namespace, whatever the tenant's own address is.
IpAddress DnsStubAddress();

}  // namespace bailey::netproxy
