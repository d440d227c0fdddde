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

constexpr std::chrono::milliseconds kFirstRetry{1000}, kLastRetry{60'000};
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
  loop_.Unwatch(options_.events->fd());
  young_.clear();
  for (const auto& [number, port] : ports_) loop_.Cancel(port.retry);
}

Publisher::~Publisher() { Rest(); }

Status Publisher::Start(std::vector<std::pair<PublishedPort, UniqueFd>>&& adopted) {
  for (auto& [port, listener] : adopted) {
    if (!IsListening(port.transport, listener.get())) {  // withdrawn just before that proxy died
      options_.give_up_listener(port);
      continue;
    }
    BAILEY_TRY(options_.serve(port, std::move(listener)));
    ports_[port].state = Port::State::kPublished;
  }
  // First all that is there, then the events: one that closes what was seen comes later.
  BAILEY_TRY(LookAtAll());
  BAILEY_TRY(loop_.Watch(options_.events->fd(), EPOLLIN, [this](uint32_t) { OnEvents(); }));
  OnEvents();
  return {};
}

void Publisher::OnEvents() {
  options_.events->Drain([this](std::span<const std::byte> record) { OnEvent(record); });
  if (std::atomic_ref(options_.shared->lost_listen_events).exchange(0) == 0) return;
  if (const Status looked = LookAtAll(); !looked) LogWarning(looked.error().Message());
}

void Publisher::OnEvent(std::span<const std::byte> record) {
  bailey_listen_event event{};
  if (record.size() < sizeof event) return;
  std::memcpy(&event, record.data(), sizeof event);
  const PublishedPort port{event.udp != 0 ? Transport::kUdp : Transport::kTcp, event.port};
  if (event.closed != 0)
    OnClosed(event.cookie, port);
  else if (event.udp != 0)
    OnBound(event.cookie, port);
  else
    OnOpened(event.cookie, port);
}

void Publisher::OnBound(uint64_t cookie, PublishedPort port) {
  young_.insert(cookie);
  loop_.After(kGrownUp, [this, cookie, port] {
    if (young_.erase(cookie) != 0) OnOpened(cookie, port);
  });
}

void Publisher::OnOpened(uint64_t cookie, PublishedPort port) {
  const auto sockets = options_.inside.Listeners(port.transport, port.port);
  if (!sockets) return LogWarning(sockets.error().Message());
  // Only this one: another that is about to close may still be on the list, and its event past.
  for (const ListeningSocket& socket : *sockets)
    if (socket.cookie == cookie && Serves(socket)) listening_[port].insert(cookie);
  Settle(port);
}

void Publisher::OnClosed(uint64_t cookie, PublishedPort port) {
  young_.erase(cookie);
  const auto found = listening_.find(port);
  if (found == listening_.end()) return;
  found->second.erase(cookie);
  if (found->second.empty()) listening_.erase(found);
  Settle(port);
}

Status Publisher::LookAtAll() {
  std::set<PublishedPort> touched;
  for (const auto& [port, cookies] : listening_) touched.insert(port);
  for (const auto& [port, state] : ports_) touched.insert(port);
  listening_.clear();
  BAILEY_TRY(LookAtAll(Transport::kTcp, touched));
  BAILEY_TRY(LookAtAll(Transport::kUdp, touched));
  for (const PublishedPort port : touched) Settle(port);
  CountPublished();
  return {};
}

Status Publisher::LookAtAll(Transport transport, std::set<PublishedPort>& touched) {
  const auto sockets = options_.inside.Listeners(transport);
  if (!sockets) return sockets.error();
  for (const ListeningSocket& socket : *sockets) {
    if (!Serves(socket)) continue;
    if (transport == Transport::kUdp && !options_.was_bound(socket.cookie)) continue;
    const PublishedPort port{transport, socket.place.port};
    listening_[port].insert(socket.cookie);
    touched.insert(port);
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
  return listening_.contains(port) && MayPublish(options_.rules, port);
}

void Publisher::Settle(PublishedPort port) {
  const auto found = ports_.find(port);
  const auto state = found == ports_.end() ? Port::State::kForgiven : found->second.state;
  if (IsWanted(port)) {
    if (state == Port::State::kForgiven) Ask(port);
    return;
  }
  // An answer that is still to come is dealt with when it comes. A refusal is remembered, so that
  // binding and closing in a loop does not ask ever again.
  if (state == Port::State::kWaiting || state == Port::State::kPublished) Withdraw(port);
}

void Publisher::Ask(PublishedPort port) {
  Port& entry = ports_[port];
  loop_.Cancel(entry.retry);
  if (asked_ == kMostAsked) {
    entry.state = Port::State::kWaiting;
    waiting_.insert(port);
    return;
  }
  ++asked_;
  entry.state = Port::State::kAsked;
  options_.ask_for_listener(port);
}

void Publisher::OnListener(PublishedPort port, int error, UniqueFd listener) {
  const auto found = ports_.find(port);
  if (found == ports_.end() || found->second.state != Port::State::kAsked) return;
  --asked_;
  if (error == 0 && listener) {
    const Status served = options_.serve(port, std::move(listener));
    if (!served) LogError(served.error().Message());
    found->second = {Port::State::kPublished, {}, 0};
    CountPublished();
    Settle(port);
  } else {
    if (IsWanted(port))
      LogWarning("port " + port.ToString() +
                 " is not published: " + std::generic_category().message(error));
    Refused(port);
  }
  while (!waiting_.empty() && asked_ < kMostAsked) Ask(waiting_.extract(waiting_.begin()).value());
}

void Publisher::Refused(PublishedPort port) {
  Port& entry = ports_[port];
  entry.state = Port::State::kRefused;
  entry.retry_after = std::clamp(entry.retry_after * 2, kFirstRetry, kLastRetry);
  entry.retry = loop_.After(entry.retry_after, [this, port] { Retry(port); });
}

void Publisher::Retry(PublishedPort port) {
  if (IsWanted(port)) return Ask(port);
  if (ports_.size() > kMostRemembered) {
    ports_.erase(port);
    return;
  }
  Port& entry = ports_[port];
  entry.state = Port::State::kForgiven;
  entry.retry = loop_.After(kLastRetry, [this, port] { ports_.erase(port); });
}

void Publisher::Withdraw(PublishedPort port) {
  const auto found = ports_.find(port);
  if (found->second.state == Port::State::kPublished) {
    options_.withdraw(port);
    options_.give_up_listener(port);
  }
  waiting_.erase(port);
  ports_.erase(found);
  CountPublished();
}

void Publisher::SetRules(std::optional<std::vector<PublishRule>> rules) {
  options_.rules = std::move(rules);
  std::set<PublishedPort> touched;
  for (const auto& [port, cookies] : listening_) touched.insert(port);
  for (const PublishedPort port : touched) Settle(port);
}

void Publisher::CountPublished() {
  const auto published = std::count_if(ports_.begin(), ports_.end(), [](const auto& entry) {
    return entry.second.state == Port::State::kPublished;
  });
  counters_.Set(NetCounter::kPublishedPorts, static_cast<uint64_t>(published));
}

}  // namespace bailey::netproxy
