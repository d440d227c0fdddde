// ConnectionRate: when the next new connection may go. Those that come too fast wait for their
// turn; when that would be longer than kLongestDelay, they are refused. Two rates hold at once: of
// all connections, and of those to one destination. (The generic cell rate algorithm, ITU-T I.371.)
// No clock, no I/O: the caller says what time it is. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "base/ip_address.h"

namespace bailey::netproxy {

class ConnectionRate {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kLongestDelay{1000};
  // After a pause, so much time's worth may go at once.
  static constexpr std::chrono::milliseconds kBurst{100};

  enum class Verdict : uint8_t { kAdmitted, kTooMany, kTooManyToDestination };
  struct Turn {
    Verdict verdict = Verdict::kAdmitted;
    Clock::duration delay{};  // when admitted: how long to wait first
  };

  // Connections a second; 0: no limit.
  void SetRates(uint64_t total, uint64_t per_destination);
  // Takes a place in the line for a connection to `destination`; none for one that comes in.
  Turn Reserve(Clock::time_point now, const std::optional<IpAddress>& destination = std::nullopt);
  size_t remembered() const { return destinations_.size(); }

 private:
  // When the line is empty again: each connection adds one interval to it.
  using Line = Clock::time_point;
  void ForgetIdle(Clock::time_point now);

  Clock::duration interval_{}, destination_interval_{};  // 0: no limit
  Line line_{};
  std::map<IpAddress, Line> destinations_;
  size_t forget_at_ = 0;
};

}  // namespace bailey::netproxy
