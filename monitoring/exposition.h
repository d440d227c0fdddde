// The page at /metrics: baileyd fills a FleetSample with plain numbers, FormatFleet() makes
// Prometheus' text of it (exposition format 0.0.4). docs/METRICS.md names every series.
//
// Filling it asks nobody: counters come from shared memory (base/counters.h), CPU, memory and tasks
// from cgroup files, the rest from what baileyd knows. A figure that is not known is left out of
// the page, never shown as 0: hence the optionals. Plain values, no locks: one thread fills and
// formats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/tls_counters.h"

namespace bailey::monitoring {

// DESIGN.md §3, in that order. "unknown" is not a state: a tenant whose supervisor does not answer
// is failed.
enum class TenantState { kDefined, kPreparing, kRunning, kSuspended, kStopping, kStopped, kFailed };
inline constexpr size_t kTenantStates = 7;
// "defined", "preparing", …: the label's values.
const char* StateName(TenantState state);

// A copy of a CounterPage: each figure read once, so that a page never contradicts itself.
template <class Counter>
class CounterValues {
 public:
  CounterValues() = default;
  explicit CounterValues(const CounterPage<Counter>& page) {
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = page.Get(static_cast<Counter>(i));
  }
  uint64_t operator[](Counter counter) const { return values_[static_cast<size_t>(counter)]; }
  uint64_t& operator[](Counter counter) { return values_[static_cast<size_t>(counter)]; }

 private:
  std::array<uint64_t, CounterPage<Counter>::kSize> values_{};
};

// As supervisor::CgroupUsage (monitoring/ may not include supervisor/).
struct CgroupSample {
  // The tenant's tasks and its servers together.
  double cpu_seconds = 0, cpu_user_seconds = 0, cpu_system_seconds = 0;
  double cpu_throttled_seconds = 0;
  uint64_t cpu_throttled_periods = 0;
  // The tenant's own tasks.
  uint64_t memory_bytes = 0;       // page cache included: what the limit counts
  uint64_t memory_file_bytes = 0;  // the page cache in it
  uint64_t memory_limit_hits = 0;
  uint64_t oom_kills = 0;
  uint64_t tasks = 0;
  uint64_t pids_limit_hits = 0;  // forks refused
  // bailey-fs and bailey-netproxy.
  uint64_t servers_memory_bytes = 0;
};

// 0 stands for "no limit": the series is left out.
struct LimitsSample {
  double cpu = 0;  // cores
  uint64_t memory_bytes = 0;
  uint64_t pids = 0;
  uint64_t connections = 0;
  uint64_t disk_bytes = 0;
};

struct TenantSample {
  std::string name, ip, template_name, plan;
  TenantState state = TenantState::kDefined;
  double state_since = 0;  // Unix time in seconds; 0: not known
  double started_at = 0;   // Unix time in seconds of the last start; 0: does not run
  uint64_t starts = 0;  // since the tenant was created, whatever baileyd and supervisors did since
  LimitsSample limits;
  // Absent unless a supervisor lives (one lives from start to stop, and its pages with it).
  std::optional<CgroupSample> cgroup;
  std::optional<CounterValues<FsCounter>> fs;
  std::optional<CounterValues<NetCounter>> net;
  std::optional<CounterValues<SupervisorCounter>> supervisor;
  std::optional<CounterValues<TlsCounter>> tls;  // of a tenant with certificates
};

struct DaemonSample {
  std::string version;     // "0.1.0"
  double started_at = 0;   // Unix time in seconds
  double cpu_seconds = 0;  // of baileyd and its API child
  uint64_t resident_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t scrapes = 0;            // this one included
  double last_scrape_seconds = 0;  // the scrape before this one, sampling and formatting
};

struct FleetSample {
  DaemonSample daemon;
  std::vector<TenantSample> tenants;  // sorted by name, for pages that compare well
};

inline constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

// The page. 1,000 tenants take well below 250 ms (tests/bench/scrape). Every family has its HELP
// and TYPE once; families without a series are left out.
std::string FormatFleet(const FleetSample& fleet);

}  // namespace bailey::monitoring
