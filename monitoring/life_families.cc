// baileyd itself, and the life of every tenant.
#include <array>
#include <iterator>

#include "monitoring/families.h"

namespace bailey::monitoring {
namespace {

using enum prometheus::MetricType;
using Row = FamilyRow<TenantSample>;

constexpr std::array<const char*, kTenantStates> kStateNames = {
    "defined", "preparing", "running", "suspended", "stopping", "stopped", "failed"};

// A state-set: one series per state, 1 for the one that holds. Alerts can then ask for a state
// without knowing the numbers, and a vanished tenant is not mistaken for a stopped one.
void FillState(const TenantSample& tenant, SeriesWriter& series) {
  for (size_t i = 0; i < kTenantStates; ++i) {
    series.Add("state", kStateNames[i], static_cast<size_t>(tenant.state) == i ? 1.0 : 0.0);
  }
}

void FillTenantsByState(const FleetSample& fleet, SeriesWriter& series) {
  std::array<uint64_t, kTenantStates> counts{};
  for (const TenantSample& tenant : fleet.tenants) ++counts[static_cast<size_t>(tenant.state)];
  for (size_t i = 0; i < kTenantStates; ++i) series.Add("state", kStateNames[i], counts[i]);
}

void FillExits(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.supervisor) return;
  const auto& counters = *tenant.supervisor;
  series.Add("reason", "normal", counters[SupervisorCounter::kExitsNormal]);
  series.Add("reason", "signal", counters[SupervisorCounter::kExitsSignal]);
  series.Add("reason", "oom", counters[SupervisorCounter::kExitsOom]);
  series.Add("reason", "seccomp", counters[SupervisorCounter::kExitsSeccomp]);
}

void FillServerRestarts(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.supervisor) return;
  series.Add("server", "fs", (*tenant.supervisor)[SupervisorCounter::kFsRestarts]);
  series.Add("server", "netproxy", (*tenant.supervisor)[SupervisorCounter::kProxyRestarts]);
}

// Each wall counts in its own place; here they come together. What a limit refuses is counted by
// the kernel (forks) and by the supervisor (the rest).
void FillDenials(const TenantSample& tenant, SeriesWriter& series) {
  if (tenant.supervisor) {
    const auto& counters = *tenant.supervisor;
    const uint64_t forks = tenant.cgroup ? tenant.cgroup->pids_limit_hits : 0;
    series.Add("layer", "ns", counters[SupervisorCounter::kDeniedNamespace]);
    series.Add("layer", "cap", counters[SupervisorCounter::kDeniedCapability]);
    series.Add("layer", "seccomp", counters[SupervisorCounter::kDeniedSeccomp]);
    series.Add("layer", "cgroup", counters[SupervisorCounter::kDeniedCgroup] + forks);
  }
  if (tenant.fs) series.Add("layer", "fs", (*tenant.fs)[FsCounter::kDenied]);
  if (tenant.net) {
    uint64_t denied = 0;
    for (const RefusalReason& row : RefusalReasons()) denied += (*tenant.net)[row.counter];
    series.Add("layer", "net", denied);
  }
}

constexpr FamilyRow<FleetSample> kFleetRows[] = {
    {"bailey_build_info", Gauge, "Always 1; the version of baileyd is in the label.",
     [](const FleetSample& f, SeriesWriter& s) { s.Add("version", f.daemon.version, 1.0); }},
    {"bailey_start_time_seconds", Gauge, "Unix time at which baileyd started.",
     [](const FleetSample& f, SeriesWriter& s) { s.Add(f.daemon.started_at); }},
    {"bailey_cpu_seconds_total", Counter, "CPU time of baileyd and its API process.",
     [](const FleetSample& f, SeriesWriter& s) { s.Add(f.daemon.cpu_seconds); }},
    {"bailey_resident_memory_bytes", Gauge, "Resident memory of baileyd and its API process.",
     [](const FleetSample& f, SeriesWriter& s) { s.Add(f.daemon.resident_bytes); }},
    {"bailey_open_fds", Gauge, "File descriptors that baileyd has open.",
     [](const FleetSample& f, SeriesWriter& s) { s.Add(f.daemon.open_fds); }},
    {"bailey_scrapes_total", Counter, "Metrics pages made, this one included.",
     [](const FleetSample& f, SeriesWriter& s) { s.Add(f.daemon.scrapes); }},
    {"bailey_last_scrape_duration_seconds", Gauge,
     "Time taken to sample and format the page before this one.",
     [](const FleetSample& f, SeriesWriter& s) { s.Add(f.daemon.last_scrape_seconds); }},
    {"bailey_tenants", Gauge, "Tenants by state.", FillTenantsByState},
};

constexpr Row kLifeRows[] = {
    {"bailey_tenant_info", Gauge, "Always 1; what is fixed about a tenant is in the labels.",
     [](const TenantSample& t, SeriesWriter& s) {
       s.AddLabelled({{"ip", t.ip}, {"template", t.template_name}, {"plan", t.plan}}, 1);
     }},
    {"bailey_tenant_state", Gauge, "1 for the state a tenant is in, 0 for every other state.",
     FillState},
    {"bailey_tenant_state_changed_time_seconds", Gauge,
     "Unix time since which a tenant is in its state.",
     [](const TenantSample& t, SeriesWriter& s) {
       if (t.state_since > 0) s.Add(t.state_since);
     }},
    {"bailey_tenant_start_time_seconds", Gauge, "Unix time at which a running tenant started.",
     [](const TenantSample& t, SeriesWriter& s) {
       if (t.started_at > 0) s.Add(t.started_at);
     }},
    {"bailey_tenant_starts_total", Counter, "Starts of a tenant since it was created.",
     [](const TenantSample& t, SeriesWriter& s) { s.Add(t.starts); }},
    {"bailey_tenant_start_duration_seconds", Gauge,
     "Time that the last start took, up to the first instruction of the start command.",
     [](const TenantSample& t, SeriesWriter& s) {
       if (!t.supervisor) return;
       const auto micros = (*t.supervisor)[SupervisorCounter::kStartMicroseconds];
       if (micros > 0) s.Add(static_cast<double>(micros) / 1e6);
     }},
    {"bailey_tenant_restarts_total", Counter,
     "Restarts of the start command after it ended, since the last start.",
     [](const TenantSample& t, SeriesWriter& s) {
       if (t.supervisor) s.Add((*t.supervisor)[SupervisorCounter::kRestarts]);
     }},
    {"bailey_tenant_execs_total", Counter, "Commands run inside by `bailey exec`.",
     [](const TenantSample& t, SeriesWriter& s) {
       if (t.supervisor) s.Add((*t.supervisor)[SupervisorCounter::kExecs]);
     }},
    {"bailey_tenant_exits_total", Counter, "Ends of the start command, by reason.", FillExits},
    {"bailey_tenant_server_restarts_total", Counter,
     "Restarts of a tenant's file server or proxy after it died.", FillServerRestarts},
    {"bailey_tenant_denials_total", Counter, "What a tenant was refused, by the wall it met.",
     FillDenials},
};

}  // namespace

const char* StateName(TenantState state) { return kStateNames[static_cast<size_t>(state)]; }

std::span<const FamilyRow<FleetSample>> FleetFamilies() { return kFleetRows; }
std::span<const Row> LifeFamilies() { return kLifeRows; }

}  // namespace bailey::monitoring
