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
  if (held == held_.end()) return Admit(key, *syn);
  held->second.syn = *syn;
  // Sent again although it was sent on: that one was lost.
  if (held->second.connected) held->second.syn.SendOn(RawFor(key.second));
}

void HeldConnects::Admit(const Key& key, const SynPacket& syn) {
  const auto& [from, to] = key;
  if (!gatekeeper_.SourceIsTenants(from.address)) return;
  if (!gatekeeper_.AllowsTcp(from, to)) return Answer(syn, EACCES);
  auto admitted = admission_.Out(from, to);
  if (!admitted) return Answer(syn, ECONNREFUSED);
  held_.emplace(key, Held{syn, std::move(admitted->place), {}, false, {}});
  if (admitted->delay == Admission::Delay{}) return Dial(key);
  loop_.After(admitted->delay, [this, key] {
    const auto held = held_.find(key);
    if (held == held_.end() || held->second.socket) return;
    if (gatekeeper_.AllowsTcp(key.first, key.second)) return Dial(key);
    Answer(held->second.syn, EACCES);  // the policy has changed meanwhile
    held_.erase(held);
  });
}

void HeldConnects::Dial(const Key& key) {
  const Endpoint& to = key.second;
  const auto held = held_.find(key);
  const auto give_up = [this, held](int error) {
    Answer(held->second.syn, error);
    held_.erase(held);
  };
  if (!admission_.MayDial(key.first, to, dialing_)) return give_up(ECONNREFUSED);
  auto socket = netproxy::Dial(gatekeeper_.policy().config().ip, to, SOCK_STREAM);
  if (!socket) {
    const int error = socket.error().Errno();
    counters_.Add(FailureCounter(error));
    if (error == EXDEV) LogError(socket.error().Message());
    return give_up(error);
  }
  if (!loop_.Watch(socket->get(), EPOLLOUT, [this, key](uint32_t) { OnDialed(key); }))
    return give_up(ENETUNREACH);
  held->second.socket = std::move(*socket);
  held->second.since = EventLoop::Clock::now();
  ++dialing_;
  if (sweep_ == 0) sweep_ = loop_.After(kBetweenSweeps, [this] { Sweep(); });
}

void HeldConnects::OnDialed(const Key& key) {
  const auto found = held_.find(key);
  if (found == held_.end()) return;
  Held& held = found->second;
  loop_.Unwatch(held.socket.get());
  --dialing_;
  if (const int error = SocketError(held.socket.get()); error != 0) {
    counters_.Add(FailureCounter(error));
    Answer(held.syn, error);
    held_.erase(found);
    return;
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
  if (held->second.socket && !held->second.connected) {
    loop_.Unwatch(held->second.socket.get());
    --dialing_;
  }
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
