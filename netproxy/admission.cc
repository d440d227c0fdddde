#include "netproxy/admission.h"

namespace bailey::netproxy {

void Admission::SetLimits(const NetLimits& limits) {
  half_open_ = limits.half_open;
  out_.SetRates(limits.connection_rate, limits.destination_rate);
  in_.SetRates(limits.connection_rate, 0);
}

std::optional<Admission::Delay> Admission::Out(const Endpoint& from, const Endpoint& to,
                                               size_t pending) {
  if (!HasRoom(from, to, pending)) return std::nullopt;
  return Count(out_.Reserve(EventLoop::Clock::now(), to.address), from, to);
}

std::optional<Admission::Delay> Admission::In(const Endpoint& from, const Endpoint& to,
                                              size_t pending) {
  if (!HasRoom(from, to, pending)) return std::nullopt;
  return Count(in_.Reserve(EventLoop::Clock::now()), from, to);
}

bool Admission::HasRoom(const Endpoint& from, const Endpoint& to, size_t pending) {
  if (relays_.HasRoom(pending)) return true;
  Refuse(NetCounter::kLimitConnections, "connections", from, to);
  return false;
}

std::optional<Admission::Delay> Admission::Count(const ConnectionRate::Turn& turn,
                                                 const Endpoint& from, const Endpoint& to) {
  switch (turn.verdict) {
    case ConnectionRate::Verdict::kTooMany:
      Refuse(NetCounter::kLimitConnectionRate, "connection_rate", from, to);
      return std::nullopt;
    case ConnectionRate::Verdict::kTooManyToDestination:
      Refuse(NetCounter::kLimitDestinationRate, "connection_rate_per_destination", from, to);
      return std::nullopt;
    case ConnectionRate::Verdict::kAdmitted:
      break;
  }
  if (turn.delay > Delay{}) counters_.Add(NetCounter::kDelayedConnections);
  return turn.delay;
}

bool Admission::MayDial(const Endpoint& from, const Endpoint& to, size_t dialing) {
  if (half_open_ == 0 || dialing < half_open_) return true;
  Refuse(NetCounter::kLimitHalfOpen, "half_open", from, to);
  return false;
}

void Admission::Refuse(NetCounter limit, const char* name, const Endpoint& from,
                       const Endpoint& to) {
  counters_.Add(limit);
  counters_.Add(NetCounter::kDeniedLimit);
  log_.Add({"tcp", from, to, std::string("limit ") + name});
}

}  // namespace bailey::netproxy
