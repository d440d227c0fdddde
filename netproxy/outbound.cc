#include "netproxy/outbound.h"

#include <sys/socket.h>

#include <cerrno>
#include <memory>
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
  return loop_.Watch(listener, EPOLLIN, [this, listener](uint32_t) { OnConnections(listener); });
}

void Outbound::OnConnections(int listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    auto accepted = AcceptSocket(listener);
    if (!accepted) return;
    OnConnection(std::move(*accepted));
  }
}

void Outbound::OnConnection(AcceptedSocket accepted) {
  if (gatekeeper_.IsDnsStub(accepted.to)) return serve_dns_(std::move(accepted.fd));
  if (UniqueFd dialed = held_.Take(accepted.from, accepted.to))
    return relays_.Start(Direction::kOut, std::move(accepted.fd), std::move(dialed));
  if (!gatekeeper_.SourceIsTenants(accepted.from.address) ||
      !gatekeeper_.AllowsTcp(accepted.from, accepted.to))
    return Refuse(accepted.fd);
  const auto delay = admission_.Out(accepted.from, accepted.to, held_.size() + waiting_);
  if (!delay) return Refuse(accepted.fd);
  if (*delay == Admission::Delay{}) return Join(std::move(accepted));
  ++waiting_;
  loop_.After(*delay, [this, waits = std::make_shared<AcceptedSocket>(std::move(accepted))] {
    --waiting_;
    if (!gatekeeper_.AllowsTcp(waits->from, waits->to)) return Refuse(waits->fd);
    Join(std::move(*waits));
  });
}

// Those that were not held: with IP options, or data in the SYN.
void Outbound::Join(AcceptedSocket accepted) {
  auto outside = Dial(gatekeeper_.policy().config().ip, accepted.to, SOCK_STREAM);
  if (outside) return relays_.Start(Direction::kOut, std::move(accepted.fd), std::move(*outside));
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
