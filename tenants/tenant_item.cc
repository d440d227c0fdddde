#include "tenants/tenant_item.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/counters.h"
#include "base/publish_rule_json.h"
#include "base/units.h"
#include "supervisor/cgroup_usage.h"
#include "tenants/spec_json.h"
#include "tenants/tenant_disk.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// What is not limited is null.
json::value Limit(uint64_t value) { return value == 0 ? json::value() : json::value(value); }

uint64_t Gauge(const Tenant& tenant, SupervisorCounter counter) {
  const auto& page = tenant.counters().supervisor;
  return tenant.IsUp() && page ? page->Get(counter) : 0;
}

json::object LimitsItem(const Host& host, const Tenant& tenant) {
  const Spec& effective = tenant.effective();
  const uint64_t disk = DiskLimit(host, tenant.name(), effective, tenant.IsUp());
  return {{"cpu", *effective.cpu == 0 ? json::value() : json::value(*effective.cpu)},
          {"memory", Limit(*effective.memory_bytes)},
          {"pids", Limit(*effective.pids)},
          {"disk", Limit(disk)},
          {"inodes", Limit(Gauge(tenant, SupervisorCounter::kDiskInodes))},
          {"connections", Limit(*effective.connections)},
          {"connectionRate", Limit(*effective.connection_rate)},
          {"connectionRatePerDestination", Limit(*effective.destination_rate)},
          {"halfOpen", Limit(*effective.half_open)},
          {"udpFlows", Limit(*effective.udp_flows)},
          {"bandwidthIn", Limit(*effective.bandwidth_in)},
          {"bandwidthOut", Limit(*effective.bandwidth_out)},
          {"idleTimeout", effective.idle_timeout->count() == 0
                              ? json::value()
                              : json::value(FormatDuration(*effective.idle_timeout))}};
}

struct NetFigure {
  const char* name;
  NetCounter counter;
};
constexpr NetFigure kLimitHits[] = {
    {"connections", NetCounter::kLimitConnections},
    {"connectionRate", NetCounter::kLimitConnectionRate},
    {"connectionRatePerDestination", NetCounter::kLimitDestinationRate},
    {"halfOpen", NetCounter::kLimitHalfOpen},
    {"udpFlows", NetCounter::kLimitUdpFlows},
    {"bandwidthIn", NetCounter::kLimitBandwidthIn},
    {"bandwidthOut", NetCounter::kLimitBandwidthOut},
    {"idleTimeout", NetCounter::kLimitIdle},
};
constexpr NetFigure kRefused[] = {
    {"host", NetCounter::kDeniedHost},           {"loopback", NetCounter::kDeniedLoopback},
    {"linkLocal", NetCounter::kDeniedLinkLocal}, {"private", NetCounter::kDeniedPrivate},
    {"multicast", NetCounter::kDeniedMulticast}, {"tenant", NetCounter::kDeniedTenant},
    {"port", NetCounter::kDeniedPort},           {"rule", NetCounter::kDeniedRule},
    {"limit", NetCounter::kDeniedLimit},         {"bind", NetCounter::kDeniedBind},
};

// What has happened at all; the rest is left out.
template <size_t kSize>
json::object Figures(const CounterPage<NetCounter>& page, const NetFigure (&figures)[kSize]) {
  json::object out;
  for (const NetFigure& row : figures)
    if (const uint64_t count = page.Get(row.counter); count > 0) out[row.name] = count;
  return out;
}

json::value NetworkItem(const Tenant& tenant) {
  const CounterPage<NetCounter>* page = tenant.counters().net.get();
  if (!tenant.IsUp() || page == nullptr) return nullptr;
  return json::object{{"openConnections", page->Get(NetCounter::kOpenConnections)},
                      {"connectionsIn", page->Get(NetCounter::kConnectionsIn)},
                      {"connectionsOut", page->Get(NetCounter::kConnectionsOut)},
                      {"bytesIn", page->Get(NetCounter::kBytesIn)},
                      {"bytesOut", page->Get(NetCounter::kBytesOut)},
                      {"delayed", page->Get(NetCounter::kDelayedConnections)},
                      {"limitHits", Figures(*page, kLimitHits)},
                      {"refused", Figures(*page, kRefused)}};
}

json::value TlsItem(const Tenant& tenant) {
  const auto& page = tenant.counters().tls;
  if (!tenant.IsUp() || !page || tenant.effective().tls->empty()) return nullptr;
  const auto expiry = static_cast<double>(page->Get(TlsCounter::kEarliestExpiry));
  return json::object{
      {"openConnections", page->Get(TlsCounter::kOpenConnections)},
      {"handshakes", page->Get(TlsCounter::kHandshakes)},
      {"resumed", page->Get(TlsCounter::kResumed)},
      {"failedHandshakes", page->Get(TlsCounter::kFailedHandshakes)},
      {"certificates", page->Get(TlsCounter::kCertificates)},
      {"refusedCertificates", page->Get(TlsCounter::kRefusedFiles)},
      {"firstExpiry", expiry > 0 ? json::value(json::string(FormatTime(expiry))) : json::value()}};
}

json::value UsageItem(const supervisor::CgroupHost& cgroups, const std::string& cgroup,
                      const Tenant& tenant) {
  const supervisor::CgroupUsage usage = supervisor::ReadCgroupUsage(cgroups, cgroup);
  if (!usage.present) return nullptr;
  return json::object{{"cpuSeconds", usage.cpu_seconds},
                      {"memoryBytes", usage.memory_bytes},
                      {"tasks", usage.tasks},
                      // A plain directory's use is not counted.
                      {"diskBytes", Limit(Gauge(tenant, SupervisorCounter::kDiskUsedBytes))},
                      {"inodes", Limit(Gauge(tenant, SupervisorCounter::kDiskUsedInodes))}};
}

}  // namespace

json::object TenantItem(const Host& host, const supervisor::CgroupHost& cgroups,
                        const Tenant& tenant) {
  const TenantRecord& record = tenant.record();
  const Spec& effective = tenant.effective();
  json::object item{
      {"name", record.name()},
      {"state", monitoring::StateName(record.state)},
      {"ip", record.spec.ip->ToString()},
      {"template", *effective.template_name},
      {"generation", record.generation},
      {"plan", record.spec.plan ? json::value(json::string(*record.spec.plan)) : json::value()},
      {"hostname", *effective.hostname},
      {"initPid", tenant.init_pid() > 0 ? json::value(tenant.init_pid()) : json::value()},
      {"startedAt", record.started_at > 0 ? json::value(json::string(FormatTime(record.started_at)))
                                          : json::value()},
      {"error", record.error ? json::value(record.error->ToJson()) : json::value()},
      {"uidBase", host.config.UidBase(record.slot)},
      {"limits", LimitsItem(host, tenant)},
      {"usage", UsageItem(cgroups, host.paths.Cgroup(record.name()), tenant)},
      {"network", NetworkItem(tenant)},
      {"tls", TlsItem(tenant)},
      {"published", json::array()},
      {"spec", SpecToJson(record.spec)}};
  if (tenant.IsUp() && tenant.counters().published)
    item["published"] = ToJson(tenant.counters().published.Read().ToRules());
  return item;
}

json::object EventItem(const Event& event) {
  return {{"id", event.id},
          {"time", FormatTime(event.time)},
          {"tenant", event.tenant},
          {"kind", event.kind},
          {"text", event.text}};
}

std::string FormatTime(double unix_time) {
  const auto seconds = static_cast<std::time_t>(std::floor(unix_time));
  const int milliseconds = static_cast<int>((unix_time - std::floor(unix_time)) * 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> date{};
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%s.%03dZ", date.data(), milliseconds);
  return text.data();
}

}  // namespace bailey::tenants
