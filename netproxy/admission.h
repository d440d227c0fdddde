// Admission: whether one more connection may be, and when. It alone knows how many are admitted and
// not relays yet. Refusals and delays are counted. Runs on the loop's thread.
#pragma once

#include <memory>
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
  struct GiveBack {
    void operator()(size_t* pending) const { --*pending; }
  };
  // One of the `connections`, until it has been started as a relay or is given up. Must not outlive
  // the Admission.
  using Place = std::unique_ptr<size_t, GiveBack>;
  struct Admitted {
    Delay delay;  // how long to wait before it is dialed
    Place place;
  };

  // All references outlive this.
  Admission(CounterPage<NetCounter>& counters, RelayTable& relays, DenialLog& log)
      : counters_(counters), relays_(relays), log_(log) {}

  // Counts from now on; what is open or waits already stays.
  void SetLimits(const NetLimits& limits);
  // None: refused.
  std::optional<Admitted> Out(const Endpoint& from, const Endpoint& to);
  std::optional<Admitted> In(const Endpoint& from, const Endpoint& to);
  // Whether one more may be dialed while so many `held` ones, and relays, have no answer yet.
  bool MayDial(const Endpoint& from, const Endpoint& to, size_t held);

 private:
  std::optional<Admitted> Count(const ConnectionRate::Turn& turn, const Endpoint& from,
                                const Endpoint& to);
  bool HasRoom(const Endpoint& from, const Endpoint& to);
  void Refuse(NetCounter limit, const char* name, const Endpoint& from, const Endpoint& to);

  CounterPage<NetCounter>& counters_;
  RelayTable& relays_;
  DenialLog& log_;
  size_t pending_ = 0;
  uint64_t half_open_ = 0;
  ConnectionRate out_, in_;
};

}  // namespace bailey::netproxy
