#include "netproxy/relay_table.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "netproxy/tcp_options.h"

namespace bailey::netproxy {
namespace {

// In a row without anything: idle. So the limit is kept to a quarter of itself.
constexpr int kIdleSweeps = 4;

}  // namespace

RelayTable::RelayTable(EventLoop& loop, CounterPage<NetCounter>& counters, size_t most)
    : loop_(loop), most_(most), limit_(most) {
  resources_.counters = &counters;
  counters.Set(NetCounter::kOpenConnections, 0);  // an earlier proxy's went with it
}

RelayTable::~RelayTable() {
  loop_.Cancel(idle_sweep_);
  while (!relays_.empty()) Remove(relays_.begin()->first);
}

void RelayTable::SetLimits(uint64_t connections, const NetLimits& limits) {
  limit_ = connections == 0 ? most_ : std::min<uint64_t>(connections, most_);
  SetBandwidth(Relay::kInside, NetCounter::kLimitBandwidthOut, limits.bytes_out);
  SetBandwidth(Relay::kOutside, NetCounter::kLimitBandwidthIn, limits.bytes_in);
  if (limits.idle_timeout == idle_timeout_) return;  // else no sweep would come under many changes
  idle_timeout_ = limits.idle_timeout;
  loop_.Cancel(idle_sweep_);
  idle_sweep_ = 0;
  if (idle_timeout_.count() > 0)
    idle_sweep_ = loop_.After(idle_timeout_ / kIdleSweeps, [this] { SweepIdle(); });
}

// One that there never was costs a relay nothing.
void RelayTable::SetBandwidth(size_t from, NetCounter hits, uint64_t bytes_per_second) {
  auto& bandwidth = resources_.bandwidth[from];
  if (!bandwidth && bytes_per_second == 0) return;
  if (!bandwidth)
    bandwidth = std::make_unique<Bandwidth>(
        loop_,
        [this](Bandwidth::Flow flow) {
          auto* const relay = static_cast<Relay*>(flow);
          Settle(relay, relay->Continue());
        },
        [this, hits] { resources_.counters->Add(hits); });
  bandwidth->SetRate(bytes_per_second);
}

void RelayTable::SweepIdle() {
  std::vector<Relay*> idle;
  for (auto& [relay, entry] : relays_) {
    entry.idle_sweeps = relay->TakeActivity() ? 0 : entry.idle_sweeps + 1;
    if (entry.idle_sweeps >= kIdleSweeps) idle.push_back(relay);
  }
  for (Relay* const relay : idle) {
    resources_.counters->Add(NetCounter::kLimitIdle);
    for (const size_t side : {Relay::kInside, Relay::kOutside}) ResetOnClose(relay->fd(side));
    Remove(relay);
  }
  idle_sweep_ = loop_.After(idle_timeout_ / kIdleSweeps, [this] { SweepIdle(); });
}

void RelayTable::StartDialing(UniqueFd inside, UniqueFd outside) {
  if (const Relay* const relay = Insert(Direction::kOut, std::move(inside), std::move(outside)))
    dialing_.insert(relay);
}

// nullptr: there is no memory for it, and both sockets are closed.
Relay* RelayTable::Insert(Direction direction, UniqueFd inside, UniqueFd outside) {
  auto owned =
      std::make_unique<Relay>(direction, std::move(inside), std::move(outside), resources_);
  Relay* const relay = owned.get();
  constexpr uint32_t kEdges = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  for (const size_t side : {Relay::kInside, Relay::kOutside}) {
    const Status watched = loop_.Watch(
        relay->fd(side), kEdges, [this, relay, side](uint32_t e) { OnEvents(relay, side, e); });
    if (watched) continue;
    if (side == Relay::kOutside) loop_.Unwatch(relay->fd(Relay::kInside));
    return nullptr;
  }
  relays_.emplace(relay, Entry{std::move(owned)});
  resources_.counters->Add(direction == Direction::kIn ? NetCounter::kConnectionsIn
                                                       : NetCounter::kConnectionsOut);
  if (counts_) resources_.counters->Add(NetCounter::kOpenConnections);
  return relay;
}

void RelayTable::StopCounting() {
  resources_.counters->Subtract(NetCounter::kOpenConnections, relays_.size());
  counts_ = false;
}

void RelayTable::OnEvents(Relay* relay, size_t side, uint32_t events) {
  const Relay::State state = relay->OnEvents(side, events);
  if (!dialing_.empty() && relay->IsConnected(Relay::kOutside)) dialing_.erase(relay);
  Settle(relay, state);
}

void RelayTable::Settle(Relay* relay, Relay::State state) {
  if (state == Relay::State::kClosed) return Remove(relay);
  if (state != Relay::State::kMoreToDo) return;
  if (std::find(waiting_.begin(), waiting_.end(), relay) != waiting_.end()) return;
  if (waiting_.empty()) loop_.After({}, [this] { RunWaiting(); });
  waiting_.push_back(relay);
}

void RelayTable::RunWaiting() {
  const std::vector<Relay*> now = std::exchange(waiting_, {});
  for (Relay* const relay : now) Settle(relay, relay->Continue());
}

void RelayTable::Remove(Relay* relay) {
  loop_.Unwatch(relay->fd(Relay::kInside));
  loop_.Unwatch(relay->fd(Relay::kOutside));
  std::erase(waiting_, relay);
  dialing_.erase(relay);
  relays_.erase(relay);
  if (counts_) resources_.counters->Subtract(NetCounter::kOpenConnections);
}

}  // namespace bailey::netproxy
