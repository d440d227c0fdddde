// What a tenant's proxy counts. Directions are seen from the tenant: "in" is towards it.
#include "monitoring/families.h"

namespace bailey::monitoring {
namespace {

using enum prometheus::MetricType;
using Row = FamilyRow<TenantSample>;

template <NetCounter counter>
void Fill(const TenantSample& tenant, SeriesWriter& series) {
  if (tenant.net) series.Add((*tenant.net)[counter]);
}
template <NetCounter in, NetCounter out>
void FillDirections(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.net) return;
  series.Add("direction", "in", (*tenant.net)[in]);
  series.Add("direction", "out", (*tenant.net)[out]);
}

constexpr RefusalReason kRefusals[] = {
    {NetCounter::kDeniedHost, "host"},
    {NetCounter::kDeniedLoopback, "loopback"},
    {NetCounter::kDeniedLinkLocal, "link_local"},
    {NetCounter::kDeniedPrivate, "private"},
    {NetCounter::kDeniedMulticast, "multicast"},
    {NetCounter::kDeniedTenant, "tenant"},
    {NetCounter::kDeniedPort, "port"},
    {NetCounter::kDeniedRule, "rule"},
    {NetCounter::kDeniedLimit, "limit"},
    {NetCounter::kDeniedBind, "bind"},
};

void FillRefused(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.net) return;
  for (const RefusalReason& row : kRefusals) {
    series.Add("reason", row.label, (*tenant.net)[row.counter]);
  }
}

constexpr RefusalReason kLimits[] = {
    {NetCounter::kLimitConnections, "connections"},
    {NetCounter::kLimitConnectionRate, "connection_rate"},
    {NetCounter::kLimitDestinationRate, "connection_rate_per_destination"},
    {NetCounter::kLimitHalfOpen, "half_open"},
    {NetCounter::kLimitUdpFlows, "udp_flows"},
    {NetCounter::kLimitBandwidthIn, "bandwidth_in"},
    {NetCounter::kLimitBandwidthOut, "bandwidth_out"},
    {NetCounter::kLimitIdle, "idle_timeout"},
};

void FillLimitHits(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.net) return;
  for (const RefusalReason& row : kLimits)
    series.Add("limit", row.label, (*tenant.net)[row.counter]);
}

void FillUpstreamFailures(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.net) return;
  series.Add("reason", "refused", (*tenant.net)[NetCounter::kRefusedUpstream]);
  series.Add("reason", "unreachable", (*tenant.net)[NetCounter::kUnreachableUpstream]);
  series.Add("reason", "timed_out", (*tenant.net)[NetCounter::kTimedOutUpstream]);
}

void FillSourceViolations(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.net) return;
  uint64_t all = (*tenant.net)[NetCounter::kSourceViolations];
  if (tenant.supervisor) all += (*tenant.supervisor)[SupervisorCounter::kSourceViolations];
  series.Add(all);
}

constexpr Row kNetRows[] = {
    {"bailey_tenant_net_connections_total", Counter, "TCP connections relayed, by direction.",
     FillDirections<NetCounter::kConnectionsIn, NetCounter::kConnectionsOut>},
    {"bailey_tenant_net_open_connections", Gauge, "TCP connections open now.",
     Fill<NetCounter::kOpenConnections>},
    {"bailey_tenant_net_connections_limit", Gauge,
     "TCP connections that a tenant may have open; absent without a limit.",
     [](const TenantSample& t, SeriesWriter& s) {
       if (t.limits.connections > 0) s.Add(t.limits.connections);
     }},
    {"bailey_tenant_net_bytes_total", Counter, "Bytes of payload relayed, by direction.",
     FillDirections<NetCounter::kBytesIn, NetCounter::kBytesOut>},
    {"bailey_tenant_net_datagrams_total", Counter, "UDP datagrams relayed, by direction.",
     FillDirections<NetCounter::kDatagramsIn, NetCounter::kDatagramsOut>},
    {"bailey_tenant_net_dns_queries_total", Counter, "Names that a tenant asked to be resolved.",
     Fill<NetCounter::kDnsQueries>},
    {"bailey_tenant_net_published_ports", Gauge, "Ports of a tenant that the host serves.",
     Fill<NetCounter::kPublishedPorts>},
    {"bailey_tenant_net_refused_total", Counter,
     "Connections and datagrams refused by policy, by reason.", FillRefused},
    {"bailey_tenant_net_limit_hits_total", Counter,
     "Times that a limit of the network held: connections refused or ended, flows of UDP and of "
     "pings ended for new ones, transfers that waited for bandwidth and datagrams that it dropped.",
     FillLimitHits},
    {"bailey_tenant_net_delayed_connections_total", Counter,
     "Connections that waited for their turn under a connection rate.",
     Fill<NetCounter::kDelayedConnections>},
    {"bailey_tenant_net_upstream_failures_total", Counter,
     "Allowed connections that the destination did not take, by reason.", FillUpstreamFailures},
    {"bailey_tenant_source_violations_total", Counter,
     "Connections and packets about to leave from an address that is not the tenant's: what the "
     "proxy saw, and what the kernel stopped of the proxy's own. Must stay 0.",
     FillSourceViolations},
};

}  // namespace

std::span<const RefusalReason> RefusalReasons() { return kRefusals; }
std::span<const Row> NetFamilies() { return kNetRows; }

}  // namespace bailey::monitoring
