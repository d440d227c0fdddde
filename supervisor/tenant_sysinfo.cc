#include "supervisor/tenant_sysinfo.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <limits>

namespace bailey::supervisor {
namespace {

// Asking the kernel takes the supervisor five files.
constexpr std::chrono::milliseconds kFresh{10};

}  // namespace

struct sysinfo SysinfoOf(const struct sysinfo& host, uint64_t memory_limit, const CgroupNow& now,
                         std::chrono::seconds up, const LoadAverages& load) {
  struct sysinfo told {};
  const uint64_t unit = host.mem_unit;
  const uint64_t total = host.totalram * unit;
  told.mem_unit = 1;
  told.totalram = memory_limit == 0 ? total : std::min(memory_limit, total);
  told.freeram = told.totalram - std::min<uint64_t>(told.totalram, now.memory_bytes);
  if (memory_limit == 0) told.totalswap = told.freeswap = host.totalswap * unit;
  told.uptime = up.count();
  constexpr uint64_t kMost = std::numeric_limits<decltype(told.procs)>::max();
  told.procs = static_cast<decltype(told.procs)>(std::min(now.tasks, kMost));
  for (size_t i = 0; i < load.values().size(); ++i)
    told.loads[i] = static_cast<decltype(told.loads[i] + 0)>(
        std::lround(load.values()[i] * (1 << SI_LOAD_SHIFT)));
  return told;
}

struct sysinfo TenantSysinfo::Now() {
  using std::chrono::microseconds;
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const auto up =
      std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec) - started_;
  if (told_at_ >= std::chrono::nanoseconds(0) && up - told_at_ < kFresh) return told_;
  struct sysinfo host {};
  ::sysinfo(&host);
  const CgroupNow used = ReadCgroupNow(host_, config_.cgroup);
  load_.Advance({static_cast<uint64_t>(std::chrono::floor<microseconds>(up).count()),
                 used.cpu_microseconds, used.cpu_waiting_microseconds,
                 used.io_waiting_microseconds});
  told_at_ = up;
  told_ = SysinfoOf(host, config_.limits.memory_bytes, used,
                    std::chrono::floor<std::chrono::seconds>(up), load_);
  return told_;
}

}  // namespace bailey::supervisor
