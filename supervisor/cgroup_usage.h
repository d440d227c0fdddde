// What a tenant has used, read from its cgroup files alone: baileyd calls this at scrape time for
// every tenant without asking its supervisor. A file that is gone (the tenant has stopped) reads as
// zero. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "supervisor/cgroup_host.h"

namespace bailey::supervisor {

struct CgroupUsage {
  bool present = false;  // the tenant's v2 group exists
  // Tasks and servers together: what the tenant costs.
  double cpu_seconds = 0, cpu_user_seconds = 0, cpu_system_seconds = 0;
  double cpu_throttled_seconds = 0;
  uint64_t cpu_throttled_periods = 0;
  // Of the tenant's own tasks.
  uint64_t memory_bytes = 0;       // page cache included: what the limit counts
  uint64_t memory_file_bytes = 0;  // the page cache in it
  uint64_t memory_limit_hits = 0;  // times an allocation ran into the limit
  uint64_t oom_kills = 0;
  uint64_t tasks = 0;
  uint64_t pids_limit_hits = 0;  // forks refused
  // Of bailey-fs and bailey-netproxy.
  uint64_t servers_memory_bytes = 0;
};

// The little of it that is told to the tenant itself at a system call, and what it waited.
struct CgroupNow {
  uint64_t memory_bytes = 0;
  uint64_t tasks = 0;
  uint64_t cpu_microseconds = 0;  // tasks and servers
  // Time in which at least one task waited; 0 where the kernel does not count it.
  uint64_t cpu_waiting_microseconds = 0, io_waiting_microseconds = 0;
};

// `name` as TenantConfig::cgroup: "bailey/acme".
CgroupUsage ReadCgroupUsage(const CgroupHost& host, std::string_view name);
CgroupNow ReadCgroupNow(const CgroupHost& host, const std::string& name);
// The one figure that is read at every exit: OOM kills among the tenant's tasks.
uint64_t ReadOomKills(const CgroupHost& host, std::string_view name);

}  // namespace bailey::supervisor
