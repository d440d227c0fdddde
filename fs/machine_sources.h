// MachineSources: the files of the host that a tenant's view of the machine is computed from. The
// supervisor opens them, as this process sees no path: files of the tenant's own cgroups, and of
// the host's /proc only what shows no other tenant. docs/DESIGN.md, "bailey-supervisor →
// bailey-fs". Reading is thread-safe.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::fs {

enum class MachineSource {
  kCpuLimit,      // cpu.max or cpu.cfs_quota_us of the whole tenant
  kCpuUsage,      // v2 cpu.stat of the whole tenant, its servers included
  kCpuTasks,      // v2 cpu.stat of its own tasks
  kCpuThrottled,  // v1: the cpu controller's cpu.stat of the whole tenant; v2: kCpuUsage has it
  kCpuPressure,   // v2 pressure files of its own tasks, where the kernel counts pressure
  kIoPressure,
  kMemoryPressure,
  kMemoryUsage,  // memory.current or memory.usage_in_bytes
  kMemoryLimit,  // memory.max or memory.limit_in_bytes
  kMemoryStat,   // either version's
  kSwapUsage,    // v2 memory.swap.current and .max; absent on v1
  kSwapLimit,
  kTasks,        // pids.current
  kIoStat,       // v2 io.stat, where the io controller is
  kHostCpuinfo,  // /proc/cpuinfo
  kHostDisks,    // "MAJOR MINOR NAME" for each device of the host
};
inline constexpr size_t kMachineSources = static_cast<size_t>(MachineSource::kHostDisks) + 1;

// By the name on the command line ("memory.limit").
std::optional<MachineSource> MachineSourceOf(std::string_view name);

class MachineSources {
 public:
  void Put(MachineSource source, UniqueFd fd) { fds_[Index(source)] = std::move(fd); }
  bool Has(MachineSource source) const { return static_cast<bool>(fds_[Index(source)]); }
  // What it says now, from the start, at most about `limit` bytes. ENOENT if it was not given.
  Result<std::string> Read(MachineSource source, size_t limit = 1 << 20) const;
  // The same, and "" where it cannot be read.
  std::string ReadOrEmpty(MachineSource source) const;

 private:
  static size_t Index(MachineSource source) { return static_cast<size_t>(source); }
  std::array<UniqueFd, kMachineSources> fds_;
};

}  // namespace bailey::fs
