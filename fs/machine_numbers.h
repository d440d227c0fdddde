// What the kernel's files say about a group and its devices, as numbers. Pure. A key that is absent
// reads as zero: kernels differ in what they count. Formats: admin-guide/cgroup-v2.rst,
// cgroup-v1/memory.rst, accounting/psi.rst of the kernel's documentation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bailey::fs {

// Cores, from v2 cpu.max ("50000 100000") or v1 cpu.cfs_quota_us ("50000", of the 100 ms that are
// the kernel's own period); nullopt: no limit.
std::optional<double> CpuLimitOf(std::string_view text);
// Processors that a tenant sees: the limit rounded up, at least one, at most the host's.
unsigned ShownProcessors(std::optional<double> limit, unsigned host);

// Bytes, from v2 memory.max ("max") or v1 limit_in_bytes (which says "none" as a number near 2^63).
std::optional<uint64_t> ByteLimitOf(std::string_view text);

// Bytes, from memory.stat: v2's names, or v1's of the whole subtree (total_…).
struct MemoryParts {
  uint64_t anonymous = 0, file = 0;  // file: page cache, shared memory in it
  uint64_t shared = 0, mapped = 0, dirty = 0, writeback = 0;
  uint64_t active_anonymous = 0, inactive_anonymous = 0, active_file = 0, inactive_file = 0;
  uint64_t unevictable = 0;
  uint64_t slab_reclaimable = 0, slab_unreclaimable = 0, kernel_stack = 0, page_tables = 0;
  uint64_t swap = 0;  // v1 only; v2 has a file for it
  uint64_t faults = 0, major_faults = 0;
};
MemoryParts MemoryPartsOf(std::string_view text);

struct DeviceIo {
  unsigned major = 0, minor = 0;
  uint64_t read_bytes = 0, written_bytes = 0, reads = 0, writes = 0;
  uint64_t discarded_bytes = 0, discards = 0;
};
// From v2 io.stat. Lines that are no device's are left out.
std::vector<DeviceIo> DeviceIoOf(std::string_view text);
// The name of a device in lines that begin as those of /proc/diskstats; "" if it has none.
std::string DeviceNameOf(std::string_view devices, unsigned major, unsigned minor);

}  // namespace bailey::fs
