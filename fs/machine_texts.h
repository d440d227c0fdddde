// The files of /proc as the kernel writes them, with a tenant's numbers. Pure. Formats: proc(5) and
// the kernel's fs/proc/*.c; what procps, busybox and libcs look for is all there. Fields that
// nothing counts for a group are zero.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/load_averages.h"
#include "fs/machine_account.h"
#include "fs/machine_numbers.h"

namespace bailey::fs {

struct MemoryPicture {
  uint64_t total = 0, used = 0;  // bytes
  uint64_t swap_total = 0, swap_used = 0;
  MemoryParts parts;

  uint64_t free() const { return total > used ? total - used : 0; }
  // What programs may take before the kernel must swap or kill: the free, and what can be dropped.
  uint64_t available() const;
};
// `limit` and `host_total` in bytes; the smaller counts.
uint64_t ShownMemory(std::optional<uint64_t> limit, uint64_t host_total);

std::string MeminfoText(const MemoryPicture& memory);
std::string SwapsText(const MemoryPicture& memory);
std::string VmstatText(const MemoryPicture& memory, const std::vector<DeviceIo>& devices);

struct MachinePicture {
  unsigned processors = 1;
  uint64_t user = 0, system = 0, idle = 0, stolen = 0;  // microseconds, all processors together
  int64_t started_at = 0;                               // seconds since 1970
  uint64_t up = 0;                                      // microseconds since then
  uint64_t tasks = 0;
  double running = 0, blocked = 0;
};
// The lines of single processors are an even share of all: nothing counts them for a group.
std::string StatText(const MachinePicture& machine);
std::string UptimeText(const MachinePicture& machine);
std::string LoadavgText(const LoadAverages& load, uint64_t tasks);

struct NamedDevice {
  DeviceIo io;
  std::string name;
};
std::string DiskstatsText(const std::vector<NamedDevice>& devices);

// The first `processors` blocks of the host's, numbered from 0.
std::string CpuinfoText(std::string_view host, unsigned processors);
// "0-3\n": a list as in /sys/devices/system/cpu.
std::string OnlineText(unsigned processors);

}  // namespace bailey::fs
