// Backoff: how long to wait before something that ended is started again. Pure; no clock.
#pragma once

#include <algorithm>
#include <chrono>

namespace bailey::supervisor {

class Backoff {
 public:
  using Duration = std::chrono::milliseconds;
  static constexpr Duration kFirst{100}, kLongest{10'000};

  // The pause before the next start: 100 ms, doubled each time up to 10 s. What has run for as
  // long as the longest pause counts as healthy, and begins anew.
  Duration Next(std::chrono::steady_clock::duration ran_for) {
    if (ran_for >= kLongest) next_ = kFirst;
    const Duration pause = next_;
    next_ = std::min(next_ * 2, kLongest);
    return pause;
  }

 private:
  Duration next_ = kFirst;
};

}  // namespace bailey::supervisor
