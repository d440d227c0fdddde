#include "tenants/tenant_item.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "supervisor/cgroup_usage.h"
#include "tenants/published_ports.h"
#include "tenants/spec_json.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// What is not limited is null.
json::value Limit(uint64_t value) { return value == 0 ? json::value() : json::value(value); }

json::object LimitsItem(const Spec& effective) {
  return {{"cpu", *effective.cpu == 0 ? json::value() : json::value(*effective.cpu)},
          {"memory", Limit(*effective.memory_bytes)},
          {"pids", Limit(*effective.pids)},
          {"disk", Limit(*effective.disk_bytes)},
          {"connections", Limit(*effective.connections)}};
}

json::value UsageItem(const supervisor::CgroupHost& cgroups, const std::string& cgroup) {
  const supervisor::CgroupUsage usage = supervisor::ReadCgroupUsage(cgroups, cgroup);
  if (!usage.present) return nullptr;
  return json::object{{"cpuSeconds", usage.cpu_seconds},
                      {"memoryBytes", usage.memory_bytes},
                      {"tasks", usage.tasks}};
}

}  // namespace

json::object TenantItem(const Host& host, const supervisor::CgroupHost& cgroups,
                        const std::map<uint64_t, Endpoint>& listening, const Tenant& tenant) {
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
      {"limits", LimitsItem(effective)},
      {"usage", UsageItem(cgroups, host.paths.Cgroup(record.name()))},
      {"published", json::array()},
      {"spec", SpecToJson(record.spec)}};
  if (tenant.IsUp() && tenant.supervisor_pid() > 0)
    for (const uint16_t port : PublishedPorts(listening, *record.spec.ip, tenant.supervisor_pid()))
      item["published"].as_array().emplace_back(port);
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
