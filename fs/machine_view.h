// MachineView: the machine as a tenant sees it in /proc and /sys: its limits and its use, computed
// at the moment of the read. Not thread-safe.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/load_averages.h"
#include "base/result.h"
#include "fs/machine_account.h"
#include "fs/machine_sources.h"
#include "fs/machine_texts.h"

namespace bailey::fs {

class MachineView {
 public:
  struct Options {
    MachineSources sources;
    std::chrono::nanoseconds started{0};  // the host's CLOCK_BOOTTIME at the tenant's start
    unsigned host_processors = 1;         // that a tenant without a limit may use
  };
  explicit MachineView(Options options) : options_(std::move(options)) {}

  // Names of the files, in the order of their numbers; docs/DESIGN.md says where each is shown.
  static constexpr std::array<std::string_view, 12> kFiles = {
      "meminfo", "cpuinfo",   "stat",   "uptime",       "loadavg",     "swaps",
      "vmstat",  "diskstats", "online", "pressure.cpu", "pressure.io", "pressure.memory"};

  // What file number `file` of kFiles says now. Errors: the source's (ENODEV when the tenant's
  // groups are gone, EOPNOTSUPP for pressure where the kernel does not count it).
  Result<std::string> Text(size_t file);

  // The load of somebody who asks for it now and then is sampled, every kSample until nobody has
  // asked for kWatched, and only while there is a load.
  static constexpr std::chrono::seconds kSample{5}, kWatched{900};
  // Until the next sample; nullopt: none is needed.
  std::optional<std::chrono::microseconds> UntilSample() const;
  void Sample();

 private:
  using Microseconds = std::chrono::microseconds;
  Microseconds Up() const;
  unsigned Processors() const;
  CpuReading ReadCpu() const;
  void AdvanceLoad(const CpuReading& cpu);
  Result<MemoryPicture> Memory() const;
  Result<MachinePicture> Machine();
  std::vector<DeviceIo> Devices() const;
  std::string Diskstats() const;
  Result<std::string> Cpuinfo() const;
  std::string Loadavg();

  Options options_;
  CpuAccount cpu_;
  LoadAverages load_;
  Microseconds sampled_{0}, asked_{0};  // since the start; asked_ 0: never
};

}  // namespace bailey::fs
