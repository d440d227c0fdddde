// The arithmetic of a tenant's processors and load, from counters that the kernel keeps anyway.
// Pure: whoever reads the counters says what time it is. All times are microseconds; all totals
// only grow.
#pragma once

#include <array>
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

struct LoadReading {
  uint64_t at = 0;
  uint64_t running = 0;  // processor time used
  uint64_t waiting = 0;  // time in which at least one task waited for a processor
  uint64_t blocked = 0;  // … for input or output
};

// The load as the exponentially weighted mean of (running + waiting + blocked) over 1, 5 and 15
// minutes: exact for tasks that run, and for at most one that waits; never more than the kernel's
// own figure would be. Between two readings the load counts as even.
class LoadAverages {
 public:
  static constexpr std::array<double, 3> kSpans = {60, 300, 900};  // seconds

  void Advance(const LoadReading& now);
  const std::array<double, 3>& values() const { return values_; }
  // Means of the last interval of at least a second.
  double running() const { return running_; }  // and waiting
  double blocked() const { return blocked_; }
  // Nothing that a reading now would add to.
  bool quiet() const { return running_ + blocked_ + values_[2] < 0.005; }

 private:
  static constexpr uint64_t kShortest = 1'000'000;

  LoadReading last_{};
  std::array<double, 3> values_{};
  double running_ = 0, blocked_ = 0;
};

}  // namespace bailey::fs
