#include "netproxy/admission.h"

namespace bailey::netproxy {

void Admission::SetLimits(const NetLimits& limits) {
  half_open_ = limits.half_open;
  out_.SetRates(limits.connection_rate, limits.destination_rate);
  in_.SetRates(limits.connection_rate, 0);
}

std::optional<Admission::Admitted> Admission::Out(const Endpoint& from, const Endpoint& to) {
  if (!HasRoom(from, to)) return std::nullopt;
  return Count(out_.Reserve(EventLoop::Clock::now(), to.address), from, to);
}

std::optional<Admission::Admitted> Admission::In(const Endpoint& from, const Endpoint& to) {
  if (!HasRoom(from, to)) return std::nullopt;
  return Count(in_.Reserve(EventLoop::Clock::now()), from, to);
}

bool Admission::HasRoom(const Endpoint& from, const Endpoint& to) {
  if (relays_.HasRoom(pending_)) return true;
  Refuse(NetCounter::kLimitConnections, "connections", from, to);
  return false;
}

std::optional<Admission::Admitted> Admission::Count(const ConnectionRate::Turn& turn,
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
  ++pending_;
  return Admitted{turn.delay, Place(&pending_)};
}

bool Admission::MayDial(const Endpoint& from, const Endpoint& to, size_t held) {
  if (half_open_ == 0 || held + relays_.dialing() < half_open_) return true;
  Refuse(NetCounter::kLimitHalfOpen, "half_open", from, to);
  return false;
}

void Admission::Refuse(NetCounter limit, const char* name, const Endpoint& from,
                       const Endpoint& to) {
  counters_.Add(limit);
  counters_.Add(NetCounter::kDeniedLimit);
  log_.Add({"tcp", from, to}, [name] { return std::string("limit ") + name; });
}

}  // namespace bailey::netproxy
