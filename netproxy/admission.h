// Admission: whether one more connection may be, and when. Refusals and delays are counted. Runs on
// the loop's thread.
#pragma once

#include <optional>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "netproxy/connection_rate.h"
#include "netproxy/denial_log.h"
#include "netproxy/net_limits.h"
#include "netproxy/relay_table.h"

namespace bailey::netproxy {

class Admission {
 public:
  using Delay = EventLoop::Clock::duration;

  // All references outlive this.
  Admission(CounterPage<NetCounter>& counters, RelayTable& relays, DenialLog& log)
      : counters_(counters), relays_(relays), log_(log) {}

  // Counts from now on; what is open or waits already stays.
  void SetLimits(const NetLimits& limits);
  // How long to wait before it is dialed; none: refused. `pending`: admitted, and not a relay yet.
  std::optional<Delay> Out(const Endpoint& from, const Endpoint& to, size_t pending);
  std::optional<Delay> In(const Endpoint& from, const Endpoint& to, size_t pending);
  // Whether one more may be dialed while `dialing` have no answer yet.
  bool MayDial(const Endpoint& from, const Endpoint& to, size_t dialing);

 private:
  std::optional<Delay> Count(const ConnectionRate::Turn& turn, const Endpoint& from,
                             const Endpoint& to);
  bool HasRoom(const Endpoint& from, const Endpoint& to, size_t pending);
  void Refuse(NetCounter limit, const char* name, const Endpoint& from, const Endpoint& to);

  CounterPage<NetCounter>& counters_;
  RelayTable& relays_;
  DenialLog& log_;
  uint64_t half_open_ = 0;
  ConnectionRate out_, in_;
};

}  // namespace bailey::netproxy
