#include "netproxy/connection_rate.h"

#include <algorithm>

namespace bailey::netproxy {
namespace {

using Clock = ConnectionRate::Clock;
constexpr size_t kFewest = 1024;  // destinations: below that, remembering costs nothing

Clock::duration Interval(uint64_t rate) {
  if (rate == 0) return {};
  const auto second = std::chrono::duration_cast<Clock::duration>(std::chrono::seconds(1));
  return std::max(second / static_cast<int64_t>(std::min<uint64_t>(rate, 1'000'000'000)),
                  Clock::duration(1));
}

Clock::duration Delay(Clock::time_point line, Clock::time_point now) {
  return std::max(line - now - ConnectionRate::kBurst, Clock::duration{});
}

}  // namespace

void ConnectionRate::SetRates(uint64_t total, uint64_t per_destination) {
  interval_ = Interval(total);
  destination_interval_ = Interval(per_destination);
  if (per_destination == 0) destinations_.clear();
}

ConnectionRate::Turn ConnectionRate::Reserve(Clock::time_point now,
                                             const std::optional<IpAddress>& destination) {
  Turn turn;
  const bool by_destination = destination && destination_interval_ > Clock::duration{};
  Line* to = nullptr;
  if (by_destination) {
    ForgetIdle(now);
    to = &destinations_[*destination];
    *to = std::max(*to, now);
    turn.delay = Delay(*to, now);
    if (turn.delay > kLongestDelay) return {Verdict::kTooManyToDestination, {}};
  }
  if (interval_ > Clock::duration{}) {
    line_ = std::max(line_, now);
    turn.delay = std::max(turn.delay, Delay(line_, now));
    if (turn.delay > kLongestDelay) return {Verdict::kTooMany, {}};
    line_ += interval_;
  }
  if (to != nullptr) *to += destination_interval_;
  return turn;
}

// A line that is empty says no more than none.
void ConnectionRate::ForgetIdle(Clock::time_point now) {
  if (destinations_.size() < std::max(forget_at_, kFewest)) return;
  std::erase_if(destinations_, [now](const auto& each) { return each.second <= now; });
  forget_at_ = 2 * destinations_.size();
}

}  // namespace bailey::netproxy
