#include "netproxy/admission.h"

namespace bailey::netproxy {

void Admission::SetLimits(const NetLimits& limits) {
  half_open_ = limits.half_open;
  out_.SetRates(limits.connection_rate, limits.destination_rate);
  in_.SetRates(limits.connection_rate, 0);
}

std::optional<Admission::Delay> Admission::Out(const IpAddress& to, size_t pending) {
  if (!relays_.Admit(pending)) return std::nullopt;
  return Count(out_.Reserve(EventLoop::Clock::now(), to));
}

std::optional<Admission::Delay> Admission::In(size_t pending) {
  if (!relays_.Admit(pending)) return std::nullopt;
  return Count(in_.Reserve(EventLoop::Clock::now()));
}

std::optional<Admission::Delay> Admission::Count(const ConnectionRate::Turn& turn) {
  switch (turn.verdict) {
    case ConnectionRate::Verdict::kTooMany:
      Refuse(NetCounter::kLimitConnectionRate);
      return std::nullopt;
    case ConnectionRate::Verdict::kTooManyToDestination:
      Refuse(NetCounter::kLimitDestinationRate);
      return std::nullopt;
    case ConnectionRate::Verdict::kAdmitted:
      break;
  }
  if (turn.delay > Delay{}) counters_.Add(NetCounter::kDelayedConnections);
  return turn.delay;
}

bool Admission::MayDial(size_t dialing) {
  return half_open_ == 0 || dialing < half_open_ || Refuse(NetCounter::kLimitHalfOpen);
}

bool Admission::Refuse(NetCounter limit) {
  counters_.Add(limit);
  counters_.Add(NetCounter::kDeniedLimit);
  return false;
}

}  // namespace bailey::netproxy
