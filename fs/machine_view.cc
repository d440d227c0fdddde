#include "fs/machine_view.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <ctime>

#include "base/kernel_counters.h"

namespace bailey::fs {
namespace {

using Source = MachineSource;
using std::chrono::duration_cast;
using std::chrono::microseconds;

// A block of /proc/cpuinfo is 1 to 2 KiB; many processors make reading all of them slow.
constexpr size_t kCpuinfoBlock = 4096;

std::chrono::nanoseconds Now(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

enum File {
  kMeminfo,
  kCpuinfo,
  kStat,
  kUptime,
  kLoadavg,
  kSwaps,
  kVmstat,
  kDiskstats,
  kOnline,
  kPressureCpu,
  kPressureIo,
  kPressureMemory
};
static_assert(MachineView::kFiles[kOnline] == "online" &&
              MachineView::kFiles[kPressureMemory] == "pressure.memory");

}  // namespace

microseconds MachineView::Up() const {
  return duration_cast<microseconds>(Now(CLOCK_BOOTTIME) - options_.started);
}

unsigned MachineView::Processors() const {
  return ShownProcessors(CpuLimitOf(options_.sources.ReadOrEmpty(Source::kCpuLimit)),
                         options_.host_processors);
}

CpuReading MachineView::ReadCpu() const {
  const MachineSources& sources = options_.sources;
  CpuReading reading;
  reading.at = static_cast<uint64_t>(Up().count());
  reading.processors = Processors();
  reading.user = KeyedNumber(sources.ReadOrEmpty(Source::kCpuTasks), "user_usec");
  const std::string whole = sources.ReadOrEmpty(Source::kCpuUsage);
  reading.system = Growth(KeyedNumber(whole, "usage_usec"), reading.user);
  const std::string limited =
      sources.Has(Source::kCpuThrottled) ? sources.ReadOrEmpty(Source::kCpuThrottled) : whole;
  reading.throttled = KeyedNumber(limited, "throttled_usec");
  if (reading.throttled == 0) reading.throttled = KeyedNumber(limited, "throttled_time") / 1000;
  return reading;
}

void MachineView::AdvanceLoad(const CpuReading& cpu) {
  LoadReading reading;
  reading.at = cpu.at;
  reading.running = cpu.user + cpu.system;
  const auto waiting = options_.sources.Read(Source::kCpuPressure);
  // Where the kernel counts no pressure, what the limit held back is all that is known of waiting.
  reading.waiting = waiting ? PressureTotalOf(*waiting) : cpu.throttled;
  reading.blocked = PressureTotalOf(options_.sources.ReadOrEmpty(Source::kIoPressure));
  load_.Advance(reading);
}

Result<MemoryPicture> MachineView::Memory() const {
  const MachineSources& sources = options_.sources;
  const auto usage = sources.Read(Source::kMemoryUsage);
  if (!usage) return usage.error();
  struct sysinfo host {};
  if (::sysinfo(&host) != 0) return Errno("sysinfo");
  const auto limit = ByteLimitOf(sources.ReadOrEmpty(Source::kMemoryLimit));
  MemoryPicture memory;
  memory.total = ShownMemory(limit, host.totalram * uint64_t{host.mem_unit});
  memory.used = ByteLimitOf(*usage).value_or(0);
  memory.parts = MemoryPartsOf(sources.ReadOrEmpty(Source::kMemoryStat));
  // v1 has one limit for memory and swap together, and Bailey sets it to that of memory.
  const uint64_t host_swap = host.totalswap * uint64_t{host.mem_unit};
  if (sources.Has(Source::kSwapLimit)) {
    memory.swap_total =
        ShownMemory(ByteLimitOf(sources.ReadOrEmpty(Source::kSwapLimit)), host_swap);
    memory.swap_used = ByteLimitOf(sources.ReadOrEmpty(Source::kSwapUsage)).value_or(0);
  } else {
    memory.swap_total = limit ? 0 : host_swap;
    memory.swap_used = memory.parts.swap;
  }
  return memory;
}

Result<MachinePicture> MachineView::Machine() {
  const auto tasks = options_.sources.Read(Source::kTasks);
  if (!tasks) return tasks.error();
  const CpuReading cpu = ReadCpu();
  cpu_.Advance(cpu);
  AdvanceLoad(cpu);
  MachinePicture machine;
  machine.processors = cpu.processors;
  machine.user = cpu_.user();
  machine.system = cpu_.system();
  machine.idle = cpu_.idle();
  machine.stolen = cpu_.stolen();
  machine.up = cpu.at;
  machine.started_at = duration_cast<std::chrono::seconds>(Now(CLOCK_REALTIME) - Up()).count();
  machine.tasks = ByteLimitOf(*tasks).value_or(0);
  machine.running = load_.running();
  machine.blocked = load_.blocked();
  return machine;
}

std::vector<DeviceIo> MachineView::Devices() const {
  return DeviceIoOf(options_.sources.ReadOrEmpty(Source::kIoStat));
}

std::string MachineView::Diskstats() const {
  std::vector<NamedDevice> named;
  const std::vector<DeviceIo> devices = Devices();
  if (devices.empty()) return {};
  const std::string names = options_.sources.ReadOrEmpty(Source::kHostDisks);
  for (const DeviceIo& device : devices)
    if (std::string name = DeviceNameOf(names, device.major, device.minor); !name.empty())
      named.push_back({device, std::move(name)});
  return DiskstatsText(named);
}

Result<std::string> MachineView::Cpuinfo() const {
  const unsigned processors = Processors();
  const auto host = options_.sources.Read(Source::kHostCpuinfo, processors * kCpuinfoBlock);
  if (!host) return host.error();
  return CpuinfoText(*host, processors);
}

std::string MachineView::Loadavg() {
  Sample();
  asked_ = sampled_;
  return LoadavgText(load_, ByteLimitOf(options_.sources.ReadOrEmpty(Source::kTasks)).value_or(0));
}

void MachineView::Sample() {
  const CpuReading cpu = ReadCpu();
  cpu_.Advance(cpu);
  AdvanceLoad(cpu);
  sampled_ = microseconds(cpu.at);
}

std::optional<microseconds> MachineView::UntilSample() const {
  if (asked_ == microseconds(0)) return std::nullopt;
  const microseconds now = Up();
  if (now > asked_ + kWatched || load_.quiet()) return std::nullopt;
  return std::max(microseconds(0), sampled_ + duration_cast<microseconds>(kSample) - now);
}

Result<std::string> MachineView::Text(size_t file) {
  switch (file) {
    case kMeminfo:
    case kSwaps:
    case kVmstat: {
      const auto memory = Memory();
      if (!memory) return memory.error();
      if (file == kMeminfo) return MeminfoText(*memory);
      return file == kSwaps ? SwapsText(*memory) : VmstatText(*memory, Devices());
    }
    case kStat:
    case kUptime: {
      const auto machine = Machine();
      if (!machine) return machine.error();
      return file == kStat ? StatText(*machine) : UptimeText(*machine);
    }
    case kCpuinfo:
      return Cpuinfo();
    case kLoadavg:
      return Loadavg();
    case kDiskstats:
      return Diskstats();
    case kOnline:
      return OnlineText(Processors());
    case kPressureCpu:
      return options_.sources.Read(Source::kCpuPressure);
    case kPressureIo:
      return options_.sources.Read(Source::kIoPressure);
    case kPressureMemory:
      return options_.sources.Read(Source::kMemoryPressure);
    default:
      return Errno("no such file of the machine", ENOENT);
  }
}

}  // namespace bailey::fs
