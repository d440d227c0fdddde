// The arithmetic of a tenant's processors, from counters that the kernel keeps anyway.
// Pure: whoever reads the counters says what time it is. All times are microseconds; all totals
// only grow.
#pragma once

#include <cstdint>

namespace bailey::fs {

struct CpuReading {
  uint64_t at = 0;          // since the tenant's start
  unsigned processors = 1;  // shown now
  uint64_t user = 0;
  uint64_t system = 0;     // the time that bailey-fs and bailey-netproxy took for it is in here
  uint64_t throttled = 0;  // kept from running by the limit, summed over the host's processors
};

// Divides the time that the shown processors had into what a machine of its own would show. Time
// for which the limit held the tenant back is stolen, as on a virtual machine with a cap; the rest
// was idle.
class CpuAccount {
 public:
  void Advance(const CpuReading& now);
  uint64_t user() const { return last_.user; }
  uint64_t system() const { return last_.system; }
  uint64_t idle() const { return idle_; }
  uint64_t stolen() const { return stolen_; }

 private:
  CpuReading last_{};
  uint64_t idle_ = 0, stolen_ = 0;
};

}  // namespace bailey::fs
