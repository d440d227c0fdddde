#include "netproxy/outbound.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "netproxy/dialer.h"
#include "netproxy/tcp_options.h"

namespace bailey::netproxy {
namespace {

constexpr int kAcceptsPerTurn = 64;

NetCounter FailureCounter(int error) {
  return error == ECONNREFUSED ? NetCounter::kRefusedUpstream : NetCounter::kUnreachableUpstream;
}

}  // namespace

Status Outbound::Serve(int listener) {
  SetRelayOptions(listener);
  return loop_.Watch(listener, EPOLLIN, [this, listener](uint32_t) { OnConnections(listener); });
}

void Outbound::OnConnections(int listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    auto accepted = AcceptSocket(listener);
    if (!accepted && IsExhausted(errno)) return Pause(listener);
    if (!accepted) return;
    OnConnection(std::move(*accepted));
  }
}

void Outbound::Pause(int listener) {
  loop_.Change(listener, 0);
  loop_.After(kExhaustedPause, [this, listener] { loop_.Change(listener, EPOLLIN); });
}

void Outbound::OnConnection(AcceptedSocket accepted) {
  if (gatekeeper_.IsDnsStub(accepted.to)) return serve_dns_(std::move(accepted.fd));
  if (UniqueFd dialed = held_.Take(accepted.from, accepted.to))
    return relays_.Start(Direction::kOut, std::move(accepted.fd), std::move(dialed));
  if (!gatekeeper_.SourceIsTenants(accepted.from.address) ||
      !gatekeeper_.AllowsTcp(accepted.from, accepted.to))
    return Refuse(accepted.fd);
  auto admitted = admission_.Out(accepted.from, accepted.to);
  if (!admitted) return Refuse(accepted.fd);
  if (admitted->delay == Admission::Delay{}) return Join(std::move(accepted));
  const auto turn =
      waiting_.insert(waiting_.end(), {std::move(accepted), std::move(admitted->place)});
  loop_.After(admitted->delay, [this, turn] { OnTurn(turn); });
}

void Outbound::OnTurn(std::list<Waiting>::iterator turn) {
  Waiting now = std::move(*turn);
  waiting_.erase(turn);
  if (!gatekeeper_.AllowsTcp(now.accepted.from, now.accepted.to)) return Refuse(now.accepted.fd);
  Join(std::move(now.accepted));
}

// Those that were not held: with IP options, or data in the SYN.
void Outbound::Join(AcceptedSocket accepted) {
  if (!admission_.MayDial(accepted.from, accepted.to, held_.dialing())) return Refuse(accepted.fd);
  auto outside = Dial(gatekeeper_.policy().config().ip, accepted.to, SOCK_STREAM);
  if (outside) return relays_.StartDialing(std::move(accepted.fd), std::move(*outside));
  if (outside.error().code.value() == EXDEV) {
    counters_.Add(NetCounter::kSourceViolations);
    LogError(outside.error().Message());
  } else {
    counters_.Add(FailureCounter(outside.error().code.value()));
  }
  Refuse(accepted.fd);
}

void Outbound::Refuse(const UniqueFd& fd) { ResetOnClose(fd.get()); }

}  // namespace bailey::netproxy
