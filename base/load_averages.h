// A load like that of /proc/loadavg, from counters that the kernel keeps of a group anyway. Pure:
// whoever reads the counters says what time it is. All times are microseconds; totals only grow.
#pragma once

#include <array>
#include <cstdint>

namespace bailey {

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

}  // namespace bailey
