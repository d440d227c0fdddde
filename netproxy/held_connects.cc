#include "netproxy/held_connects.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "base/log.h"
#include "netproxy/dialer.h"
#include "netproxy/tcp_options.h"

namespace bailey::netproxy {
namespace {

using std::chrono::seconds;
// Dialed, and the SYN sent on, but nothing came of it: the program has given up.
constexpr seconds kUnclaimed{10}, kBetweenSweeps{5};

NetCounter FailureCounter(int error) {
  switch (error) {
    case ECONNREFUSED:
      return NetCounter::kRefusedUpstream;
    case ETIMEDOUT:
      return NetCounter::kTimedOutUpstream;
    case EXDEV:
      return NetCounter::kSourceViolations;
    default:
      return NetCounter::kUnreachableUpstream;
  }
}

}  // namespace

HeldConnects::~HeldConnects() {
  loop_.Unwatch(syns_.fd());
  loop_.Cancel(sweep_);
  while (!held_.empty()) Remove(held_.begin());
}

Status HeldConnects::Start() {
  return loop_.Watch(syns_.fd(), EPOLLIN, [this](uint32_t) {
    syns_.Drain([this](std::span<const std::byte> record) { OnSyn(record); });
  });
}

UniqueFd HeldConnects::Take(const Endpoint& from, const Endpoint& to) {
  const auto held = held_.find({from, to});
  if (held == held_.end() || !held->second.connected) return {};
  UniqueFd socket = std::move(held->second.socket);
  held_.erase(held);
  return socket;
}

void HeldConnects::OnSyn(std::span<const std::byte> record) {
  const auto syn = SynPacket::Parse(record);
  if (!syn) return LogError("a held packet that is no SYN");
  const Key key{syn->from(), syn->to()};
  const auto held = held_.find(key);
  if (held == held_.end()) return Dial(key, *syn);
  held->second.syn = *syn;
  // Sent again although it was sent on: that one was lost.
  if (held->second.connected) held->second.syn.SendOn(RawFor(key.second));
}

void HeldConnects::Dial(const Key& key, const SynPacket& syn) {
  const auto& [from, to] = key;
  if (!gatekeeper_.SourceIsTenants(from.address)) return;
  if (!gatekeeper_.AllowsTcp(to)) return Answer(syn, EACCES);
  if (!relays_.Admit(held_.size())) return Answer(syn, ECONNREFUSED);
  auto socket = netproxy::Dial(gatekeeper_.policy().config().ip, to, SOCK_STREAM);
  if (!socket) {
    const int error = socket.error().Errno();
    counters_.Add(FailureCounter(error));
    if (error == EXDEV) LogError(socket.error().Message());
    return Answer(syn, error);
  }
  const int fd = socket->get();
  if (!loop_.Watch(fd, EPOLLOUT, [this, key](uint32_t) { OnDialed(key); }))
    return Answer(syn, ENETUNREACH);
  held_.emplace(key, Held{syn, std::move(*socket), false, EventLoop::Clock::now()});
  if (sweep_ == 0) sweep_ = loop_.After(kBetweenSweeps, [this] { Sweep(); });
}

void HeldConnects::OnDialed(const Key& key) {
  const auto found = held_.find(key);
  if (found == held_.end()) return;
  Held& held = found->second;
  loop_.Unwatch(held.socket.get());
  if (const int error = SocketError(held.socket.get()); error != 0) {
    counters_.Add(FailureCounter(error));
    Answer(held.syn, error);
    return Remove(found);
  }
  held.connected = true;
  held.since = EventLoop::Clock::now();
  if (const Status sent = held.syn.SendOn(RawFor(key.second)); !sent)
    LogWarning(sent.error().Message());
}

void HeldConnects::Answer(const SynPacket& syn, int error) {
  const int raw = RawFor(syn.to());
  Status sent;
  switch (error) {
    case ETIMEDOUT:
      break;  // as the destination: the kernel inside gives up at the same time
    case ECONNREFUSED:
    case ECONNRESET:
    case EXDEV:
      sent = syn.Refuse(raw);
      break;
    case EACCES:
    case EPERM:
      sent = syn.Unreach(raw, Unreachable::kProhibited);
      break;
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
      sent = syn.Unreach(raw, Unreachable::kHost);
      break;
    default:
      sent = syn.Unreach(raw, Unreachable::kNetwork);
  }
  if (!sent) LogWarning(sent.error().Message());
}

void HeldConnects::Remove(std::map<Key, Held>::iterator held) {
  if (held->second.socket) loop_.Unwatch(held->second.socket.get());
  held_.erase(held);
}

void HeldConnects::Sweep() {
  const auto now = EventLoop::Clock::now();
  for (auto held = held_.begin(); held != held_.end();) {
    const auto next = std::next(held);
    if (held->second.connected && now - held->second.since > kUnclaimed) Remove(held);
    held = next;
  }
  sweep_ = held_.empty() ? 0 : loop_.After(kBetweenSweeps, [this] { Sweep(); });
}

}  // namespace bailey::netproxy
