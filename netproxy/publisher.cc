#include "netproxy/publisher.h"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <system_error>

#include "base/log.h"
#include "netproxy/special_ranges.h"

namespace bailey::netproxy {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstRetry{1000}, kLastRetry{60'000};
// A socket that is about to close is still found for some microseconds after its event; for longer
// if its process is kept from running just then.
constexpr milliseconds kFirstLook{1}, kLastLook{1024};
// Answers that we have not read fill the supervisor's side of the link, which does not wait.
constexpr size_t kMostAsked = 32;
constexpr size_t kMostRemembered = 4096;  // refused ports that nobody listens on any more

// A withdrawn listener has been shut down; a withdrawn UDP socket is looked after by LookAtAll().
bool IsListening(Transport transport, int socket) {
  if (transport == Transport::kUdp) return true;
  int listening = 0;
  socklen_t size = sizeof listening;
  return ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

}  // namespace

Publisher::Publisher(EventLoop& loop, CounterPage<NetCounter>& counters, PublisherOptions options)
    : loop_(loop), counters_(counters), options_(std::move(options)) {}

void Publisher::Rest() {
  rests_ = true;
  loop_.Unwatch(options_.events->fd());
  young_.clear();
  for (const auto& [number, port] : ports_) loop_.Cancel(port.retry);
}

Publisher::~Publisher() { Rest(); }

Status Publisher::Adopt(AdoptedPorts&& adopted) {
  for (auto& [port, listener] : adopted.sockets) {
    adopted.all.Erase(port);
    if (!IsListening(port.transport, listener.get())) {  // withdrawn just before that proxy died
      options_.give_up_listener(port);
      continue;
    }
    BAILEY_TRY(options_.serve(port, std::move(listener)));
    ports_[port].state = Port::State::kPublished;
    ++sockets_;
  }
  if (!adopted.shared) return {};
  shared_ = std::move(adopted.all);
  return options_.share(std::move(adopted.shared));
}

Status Publisher::Start(AdoptedPorts&& adopted) {
  BAILEY_TRY(Adopt(std::move(adopted)));
  // First all that is there, then the events: one that closes what was seen comes later.
  BAILEY_TRY(LookAtAll());
  BAILEY_TRY(loop_.Watch(options_.events->fd(), EPOLLIN, [this](uint32_t) { OnEvents(); }));
  OnEvents();
  return {};
}

void Publisher::OnEvents() {
  options_.events->Drain([this](std::span<const std::byte> record) { OnEvent(record); });
  if (std::atomic_ref(options_.notes->lost_listen_events).exchange(0) == 0) return;
  if (const Status looked = LookAtAll(); !looked) LogWarning(looked.error().Message());
}

void Publisher::OnEvent(std::span<const std::byte> record) {
  bailey_listen_event event{};
  if (record.size() < sizeof event) return;
  std::memcpy(&event, record.data(), sizeof event);
  if (event.udp == 0)
    LookAtTcp(event.port, event.closed != 0 ? event.cookie : 0, kFirstLook);
  else if (event.closed != 0)
    OnUdpClosed(event.cookie, event.port);
  else
    OnBound(event.cookie, event.port);
}

// `closing`: the socket whose end is what we were told of, or 0.
void Publisher::LookAtTcp(uint16_t port, uint64_t closing, milliseconds pause) {
  if (rests_) return;
  const auto found = options_.inside.ListenerFor(Transport::kTcp, {options_.tenant_ip, port});
  if (!found && found.error().Errno() != ENOENT) return LogWarning(found.error().Message());
  const bool closes = found && closing != 0 && found->cookie == closing;
  if (closes && pause <= kLastLook) {
    loop_.After(pause, [=, this] { LookAtTcp(port, closing, pause * 2); });
    return;
  }
  SetServed({Transport::kTcp, port}, found && !closes);
}

void Publisher::OnBound(uint64_t cookie, uint16_t port) {
  young_.insert(cookie);
  loop_.After(kGrownUp, [this, cookie, port] {
    if (young_.erase(cookie) != 0) OnUdpOpened(cookie, port);
  });
}

void Publisher::OnUdpOpened(uint64_t cookie, uint16_t port) {
  const auto sockets = options_.inside.Listeners(Transport::kUdp, port);
  if (!sockets) return LogWarning(sockets.error().Message());
  // Only this one: another that is about to close may still be on the list, and its event past.
  for (const ListeningSocket& socket : *sockets)
    if (socket.cookie == cookie && Serves(socket)) udp_[port].insert(cookie);
  SetServed({Transport::kUdp, port}, udp_.contains(port));
}

void Publisher::OnUdpClosed(uint64_t cookie, uint16_t port) {
  young_.erase(cookie);
  const auto found = udp_.find(port);
  if (found == udp_.end()) return;
  found->second.erase(cookie);
  if (found->second.empty()) udp_.erase(found);
  SetServed({Transport::kUdp, port}, udp_.contains(port));
}

Status Publisher::LookAtAll() {
  const PortSet before = std::exchange(served_, {});
  udp_.clear();
  BAILEY_TRY(LookAtAll(Transport::kTcp));
  BAILEY_TRY(LookAtAll(Transport::kUdp));
  SettleAll(before);
  CountPublished();
  return {};
}

Status Publisher::LookAtAll(Transport transport) {
  const auto sockets = options_.inside.Listeners(transport);
  if (!sockets) return sockets.error();
  for (const ListeningSocket& socket : *sockets) {
    if (!Serves(socket)) continue;
    if (transport == Transport::kUdp) {
      if (!options_.was_bound(socket.cookie)) continue;
      udp_[socket.place.port].insert(socket.cookie);
    }
    served_.Insert({transport, socket.place.port});
  }
  return {};
}

// The wildcard or the tenant's IP; never its loopback.
bool Publisher::Serves(const ListeningSocket& socket) const {
  static const IpAddress any4 = IpAddress::V4(0), any6 = IpAddress::V6({});
  const IpAddress place = Unmapped(socket.place.address);
  if (place == options_.tenant_ip) return true;
  if (options_.tenant_ip.is_v6()) return place == any6;
  return place == any4 || (place == any6 && !socket.v6_only);
}

bool Publisher::IsWanted(PublishedPort port) const {
  return served_.Contains(port) && MayPublish(options_.rules, port);
}

void Publisher::SetServed(PublishedPort port, bool served) {
  if (served)
    served_.Insert(port);
  else
    served_.Erase(port);
  Settle(port);
}

void Publisher::Settle(PublishedPort port) {
  if (rests_) return;
  const auto found = ports_.find(port);
  const bool may_ask = found == ports_.end() || found->second.state == Port::State::kForgiven;
  if (IsWanted(port)) {
    if (may_ask && !shared_.Contains(port)) Ask(port);
    return;
  }
  waiting_.Erase(port);
  // An answer that is still to come is dealt with when it comes. A refusal is remembered, so that
  // binding and closing in a loop does not ask ever again.
  if (shared_.Contains(port) ||
      (found != ports_.end() && found->second.state == Port::State::kPublished))
    Withdraw(port);
}

// What is served now, and what was or is published but may be served no more.
void Publisher::SettleAll(const PortSet& before) {
  std::vector<PublishedPort> own;
  for (const auto& [port, state] : ports_) own.push_back(port);
  for (const PublishedPort port : own) Settle(port);
  const PortSet shared = shared_;
  for (const PortSet* ports : {&before, &shared}) ports->ForEach([this](auto at) { Settle(at); });
  served_.ForEach([this](PublishedPort port) { Settle(port); });
}

void Publisher::Ask(PublishedPort port) {
  if (asked_ == kMostAsked) {
    waiting_.Insert(port);
    return;
  }
  waiting_.Erase(port);
  Port& entry = ports_[port];
  loop_.Cancel(entry.retry);
  ++asked_;
  entry.state = Port::State::kAsked;
  options_.ask_for_listener(port);
}

void Publisher::OnListener(PublishedPort port, PublishedSocket answer) {
  const auto found = ports_.find(port);
  if (found == ports_.end() || found->second.state != Port::State::kAsked) return;
  --asked_;
  if (answer.error != 0 || !answer.fd) {
    if (IsWanted(port))
      LogWarning("port " + port.ToString() +
                 " is not published: " + std::generic_category().message(answer.error));
    Refused(port);
  } else {
    const Status served = answer.shared ? options_.share(std::move(answer.fd))
                                        : options_.serve(port, std::move(answer.fd));
    if (!served) LogError(served.error().Message());
    if (answer.shared) {
      shared_.Insert(port);
      ports_.erase(found);
    } else {
      ++sockets_;
      found->second = {Port::State::kPublished, {}, 0};
    }
    CountPublished();
    Settle(port);
  }
  while (!waiting_.empty() && asked_ < kMostAsked) Ask(*waiting_.First());
}

void Publisher::OnLost() {
  for (auto& [port, entry] : ports_)
    if (entry.state == Port::State::kAsked) {
      --asked_;
      Refused(port);
    }
}

void Publisher::Refused(PublishedPort port) {
  Port& entry = ports_[port];
  entry.state = Port::State::kRefused;
  entry.retry_after = std::clamp(entry.retry_after * 2, kFirstRetry, kLastRetry);
  entry.retry = loop_.After(entry.retry_after, [this, port] { Retry(port); });
}

void Publisher::Retry(PublishedPort port) {
  Port& entry = ports_[port];
  entry.state = Port::State::kForgiven;
  if (IsWanted(port)) return Ask(port);
  if (ports_.size() > kMostRemembered) {
    ports_.erase(port);
    return;
  }
  entry.retry = loop_.After(kLastRetry, [this, port] { ports_.erase(port); });
}

void Publisher::Withdraw(PublishedPort port) {
  if (!shared_.Erase(port)) {
    options_.withdraw(port);
    ports_.erase(port);
    --sockets_;
  }
  options_.give_up_listener(port);
  CountPublished();
}

void Publisher::SetRules(std::optional<std::vector<PublishRule>> rules) {
  options_.rules = std::move(rules);
  SettleAll({});
}

void Publisher::CountPublished() {
  counters_.Set(NetCounter::kPublishedPorts, sockets_ + shared_.size());
}

}  // namespace bailey::netproxy
