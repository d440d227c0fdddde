// TenantSysinfo: what sysinfo(2) says inside. The kernel would tell the host's memory and load,
// from which C libraries answer sysconf(_SC_PHYS_PAGES) and busybox its `free` and `uptime`: the
// filter hands the call to the supervisor, which answers with the tenant's
// (supervisor/granted_calls.h). Programs ask once; who asks all the time gets the answer of some
// milliseconds ago. Not thread-safe.
#pragma once

#include <sys/sysinfo.h>

#include <chrono>
#include <string>

#include "base/load_averages.h"
#include "supervisor/cgroup_host.h"
#include "supervisor/cgroup_usage.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// Pure. Memory is the limit, or the host's where that is less; swap only without a limit on memory,
// as the limit holds for both.
struct sysinfo SysinfoOf(const struct sysinfo& host, uint64_t memory_limit, const CgroupNow& now,
                         std::chrono::seconds up, const LoadAverages& load);

class TenantSysinfo {
 public:
  // `started`: the host's CLOCK_BOOTTIME that is 0 inside. `config` outlives it: limits change.
  TenantSysinfo(const CgroupHost& host, const TenantConfig& config,
                std::chrono::nanoseconds started)
      : host_(host), config_(config), started_(started) {}
  // The loads are means since they were looked at last.
  struct sysinfo Now();

 private:
  const CgroupHost& host_;
  const TenantConfig& config_;
  const std::chrono::nanoseconds started_;
  LoadAverages load_;
  std::chrono::nanoseconds told_at_{-1};
  struct sysinfo told_ {};
};

}  // namespace bailey::supervisor
