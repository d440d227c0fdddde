#include "supervisor/tenant_network.h"

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <string>

#include "base/files.h"
#include "supervisor/netlink_batch.h"

namespace bailey::supervisor {
namespace {

constexpr uint32_t kLoopback = 1;  // lo is the first interface of every network namespace
constexpr uint32_t kTable = 100;   // not `local`: there, bind(8.8.8.8) would succeed
constexpr uint32_t kOwnRule = 38000, kLoopbackRule = 39000, kAnyIpRule = 40000;
constexpr uint32_t kTenantIds = 65535;

// Destinations that must stay unreachable: as local ones they would reach the tenant's own
// wildcard sockets.
struct Unreachable {
  const char* prefix;
  const char* reason;
};
constexpr Unreachable kUnreachable4[] = {
    {"224.0.0.0/4", "multicast"}, {"240.0.0.0/4", "reserved"}, {"0.0.0.0/8", "this network"}};
constexpr Unreachable kUnreachable6[] = {{"ff00::/8", "multicast"}};

void AddLoopback(NetlinkBatch& batch, const IpAddress& ip) {
  ifinfomsg link{};
  link.ifi_index = kLoopback;
  link.ifi_flags = link.ifi_change = IFF_UP;
  batch.Add("lo up", RTM_NEWLINK, 0, link);
  ifaddrmsg address{};
  address.ifa_family = static_cast<uint8_t>(ip.family());
  address.ifa_prefixlen = static_cast<uint8_t>(ip.bits());
  // Else an IPv6 address is tentative at first, and no route can have it as its source.
  address.ifa_flags = ip.is_v6() ? IFA_F_NODAD : 0;
  address.ifa_scope = ip.is_v6() ? RT_SCOPE_UNIVERSE : RT_SCOPE_HOST;
  address.ifa_index = kLoopback;
  batch.Add("address on lo", RTM_NEWADDR, NLM_F_CREATE, address);
  batch.Attribute(IFA_LOCAL, ip);
  batch.Attribute(IFA_ADDRESS, ip);
}

rtmsg RouteTo(const IpAddress& ip, uint8_t type, int prefix) {
  rtmsg route{};
  route.rtm_family = static_cast<uint8_t>(ip.family());
  route.rtm_dst_len = static_cast<uint8_t>(prefix);
  route.rtm_table = kTable;
  route.rtm_protocol = RTPROT_STATIC;
  route.rtm_scope = type == RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  route.rtm_type = type;
  return route;
}

void AddRoutes(NetlinkBatch& batch, const IpAddress& ip) {
  batch.Add("AnyIP route", RTM_NEWROUTE, NLM_F_CREATE, RouteTo(ip, RTN_LOCAL, 0));
  batch.Attribute(RTA_OIF, kLoopback);
  batch.Attribute(RTA_PREFSRC, ip);  // else the source would be the destination
  const auto add = [&](const Unreachable& range) {
    const auto cidr = Cidr::Parse(range.prefix);
    batch.Add(range.prefix, RTM_NEWROUTE, NLM_F_CREATE, RouteTo(ip, RTN_UNREACHABLE, cidr->prefix));
    batch.Attribute(RTA_DST, cidr->address);
    if (ip.is_v6()) batch.Attribute(RTA_OIF, kLoopback);
  };
  if (ip.is_v6())
    for (const Unreachable& range : kUnreachable6) add(range);
  else
    for (const Unreachable& range : kUnreachable4) add(range);
}

void AddRules(NetlinkBatch& batch, const IpAddress& ip) {
  fib_rule_hdr rule{};
  rule.family = static_cast<uint8_t>(ip.family());
  rule.action = FR_ACT_TO_TBL;
  rule.table = kTable;
  rule.src_len = static_cast<uint8_t>(ip.bits());
  // A tenant's address may itself be one of 127.0.0.0/8.
  batch.Add("rule of the own address", RTM_NEWRULE, NLM_F_CREATE, rule);
  batch.Attribute(FRA_PRIORITY, kOwnRule);
  batch.Attribute(FRA_SRC, ip);
  rule.table = 0;
  // A socket bound to loopback that talks to the world gets EINVAL, as on a host of its own.
  const auto loopback = Cidr::Parse(ip.is_v6() ? "::1/128" : "127.0.0.0/8");
  rule.action = FR_ACT_BLACKHOLE;
  rule.src_len = static_cast<uint8_t>(loopback->prefix);
  batch.Add("loopback rule", RTM_NEWRULE, NLM_F_CREATE, rule);
  batch.Attribute(FRA_PRIORITY, kLoopbackRule);
  batch.Attribute(FRA_SRC, loopback->address);
  rule.action = FR_ACT_TO_TBL;
  rule.src_len = 0;
  rule.table = kTable;
  batch.Add("AnyIP rule", RTM_NEWRULE, NLM_F_CREATE, rule);
  batch.Attribute(FRA_PRIORITY, kAnyIpRule);
}

}  // namespace

Status ConfigureTenantNetwork(const IpAddress& ip, uint32_t uid_base) {
  NetlinkBatch batch;
  AddLoopback(batch, ip);
  AddRoutes(batch, ip);
  AddRules(batch, ip);
  BAILEY_TRY(batch.Send());
  // A client that comes back with a port of a minute ago has a connection here that is in TIME-WAIT
  // at the proxy's end: one that gives way to it, as it would at a server's end.
  BAILEY_TRY(WriteControl("/proc/sys/net/ipv4/tcp_tw_reuse", "1"));
  // The tenant's own services listen on 80 without a capability; there is nobody else in here.
  BAILEY_TRY(WriteControl("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"));
  return WriteControl("/proc/sys/net/ipv4/ping_group_range",
                      std::to_string(uid_base) + " " + std::to_string(uid_base + kTenantIds - 1));
}

}  // namespace bailey::supervisor
