#include "tenants/sampling.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "base/files.h"
#include "supervisor/cgroup_usage.h"
#include "tenants/tenant_disk.h"

namespace bailey::tenants {
namespace {

using monitoring::CgroupSample;
using monitoring::CounterValues;

struct ProcessUse {
  double cpu_seconds = 0;
  uint64_t resident_bytes = 0;
};

// Fields 14, 15 and 24 of /proc/PID/stat, proc_pid_stat(5); counted from behind the name, which may
// have anything in it.
ProcessUse ReadProcess(pid_t pid) {
  const auto text = ReadFile("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return {};
  std::istringstream fields(text->substr(text->rfind(')') + 1));
  std::string skipped;
  uint64_t user = 0, system = 0, pages = 0;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  fields >> user >> system;
  for (int field = 16; field < 24; ++field) fields >> skipped;
  fields >> pages;
  static const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  static const auto page_size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return {static_cast<double>(user + system) / ticks, pages * page_size};
}

uint64_t CountOpenFds() {
  std::error_code failed;
  uint64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", failed)) {
    static_cast<void>(entry);
    ++count;
  }
  return count > 0 ? count - 1 : 0;  // the directory itself
}

CgroupSample ToSample(const supervisor::CgroupUsage& usage) {
  CgroupSample sample;
  sample.cpu_seconds = usage.cpu_seconds;
  sample.cpu_user_seconds = usage.cpu_user_seconds;
  sample.cpu_system_seconds = usage.cpu_system_seconds;
  sample.cpu_throttled_seconds = usage.cpu_throttled_seconds;
  sample.cpu_throttled_periods = usage.cpu_throttled_periods;
  sample.memory_bytes = usage.memory_bytes;
  sample.memory_file_bytes = usage.memory_file_bytes;
  sample.memory_limit_hits = usage.memory_limit_hits;
  sample.oom_kills = usage.oom_kills;
  sample.tasks = usage.tasks;
  sample.pids_limit_hits = usage.pids_limit_hits;
  sample.servers_memory_bytes = usage.servers_memory_bytes;
  return sample;
}

template <class Counter>
std::optional<CounterValues<Counter>> Values(const CounterMapping<Counter>& mapping) {
  if (!mapping) return std::nullopt;
  return CounterValues<Counter>(*mapping.get());
}

}  // namespace

Sampler::Sampler(supervisor::CgroupHost cgroups)
    : cgroups_(std::move(cgroups)), started_at_(UnixNow()) {}

monitoring::DaemonSample Sampler::Daemon(pid_t api_pid) const {
  monitoring::DaemonSample sample;
  const ProcessUse own = ReadProcess(::getpid());
  const ProcessUse api = api_pid > 0 ? ReadProcess(api_pid) : ProcessUse{};
  sample.version = BAILEY_VERSION;
  sample.started_at = started_at_;
  sample.cpu_seconds = own.cpu_seconds + api.cpu_seconds;
  sample.resident_bytes = own.resident_bytes + api.resident_bytes;
  sample.open_fds = CountOpenFds();
  sample.scrapes = scrapes_;
  sample.last_scrape_seconds = last_scrape_seconds_;
  return sample;
}

monitoring::TenantSample Sampler::Sample(const Tenant& tenant, const Host& host) const {
  const TenantRecord& record = tenant.record();
  const Spec& effective = tenant.effective();
  const supervisor::Limits limits = MakeLimits(effective);
  monitoring::TenantSample sample;
  sample.name = record.name();
  sample.ip = record.spec.ip->ToString();
  sample.template_name = *effective.template_name;
  sample.plan = record.spec.plan.value_or("");
  sample.state = record.state;
  sample.state_since = record.state_since;
  sample.started_at = record.started_at;
  sample.starts = record.starts;
  sample.limits = {limits.cpu, limits.memory_bytes, limits.pids, limits.connections,
                   DiskLimit(host, record.name(), effective, tenant.IsUp())};
  if (!tenant.IsUp()) return sample;
  const auto usage = supervisor::ReadCgroupUsage(cgroups_, host.paths.Cgroup(record.name()));
  if (usage.present) sample.cgroup = ToSample(usage);
  sample.fs = Values(tenant.counters().fs);
  sample.net = Values(tenant.counters().net);
  sample.supervisor = Values(tenant.counters().supervisor);
  if (!effective.tls->empty()) sample.tls = Values(tenant.counters().tls);
  return sample;
}

std::string Sampler::Page(const Fleet& fleet, const Host& host, pid_t api_pid) {
  const auto begun = std::chrono::steady_clock::now();
  ++scrapes_;
  monitoring::FleetSample sample;
  sample.daemon = Daemon(api_pid);
  for (const auto& [name, tenant] : fleet.tenants())
    sample.tenants.push_back(Sample(*tenant, host));
  std::string page = monitoring::FormatFleet(sample);
  last_scrape_seconds_ =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return page;
}

}  // namespace bailey::tenants
