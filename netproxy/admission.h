// Admission: whether one more connection may be, and when. Refusals and delays are counted. Runs on
// the loop's thread.
#pragma once

#include <optional>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "netproxy/connection_rate.h"
#include "netproxy/net_limits.h"
#include "netproxy/relay_table.h"

namespace bailey::netproxy {

class Admission {
 public:
  using Delay = EventLoop::Clock::duration;

  // All references outlive this.
  Admission(CounterPage<NetCounter>& counters, RelayTable& relays)
      : counters_(counters), relays_(relays) {}

  // Counts from now on; what is open or waits already stays.
  void SetLimits(const NetLimits& limits);
  // How long to wait before it is dialed; none: refused. `pending`: admitted, and not a relay yet.
  std::optional<Delay> Out(const IpAddress& to, size_t pending);
  std::optional<Delay> In(size_t pending);
  // Whether one more may be dialed while `dialing` have no answer yet.
  bool MayDial(size_t dialing);

 private:
  std::optional<Delay> Count(const ConnectionRate::Turn& turn);
  bool Refuse(NetCounter limit);

  CounterPage<NetCounter>& counters_;
  RelayTable& relays_;
  uint64_t half_open_ = 0;
  ConnectionRate out_, in_;
};

}  // namespace bailey::netproxy
