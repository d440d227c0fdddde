#include "base/load_averages.h"

#include <cmath>

#include "base/kernel_counters.h"

namespace bailey {

void LoadAverages::Advance(const LoadReading& now) {
  if (Growth(now.at, last_.at) < kShortest) return;
  const auto span = static_cast<double>(now.at - last_.at);
  running_ =
      static_cast<double>(Growth(now.running, last_.running) + Growth(now.waiting, last_.waiting)) /
      span;
  blocked_ = static_cast<double>(Growth(now.blocked, last_.blocked)) / span;
  for (size_t i = 0; i < kSpans.size(); ++i) {
    const double kept = std::exp(-span / 1e6 / kSpans[i]);
    values_[i] = values_[i] * kept + (running_ + blocked_) * (1 - kept);
  }
  last_ = now;
}

}  // namespace bailey
