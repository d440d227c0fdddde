// RelayTable: all relays of the proxy: starts them, gives each its turns and its share of the
// bandwidth, ends those that are idle, counts and limits them. Not thread-safe; runs on the loop's
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "netproxy/net_limits.h"
#include "netproxy/relay.h"

namespace bailey::netproxy {

class RelayTable {
 public:
  // `most`: as many as there are descriptors for.
  RelayTable(EventLoop& loop, CounterPage<NetCounter>& counters, size_t most);
  ~RelayTable();
  RelayTable(const RelayTable&) = delete;
  RelayTable& operator=(const RelayTable&) = delete;

  // `connections` open at once; 0: `most`, which is the upper bound in any case. Bandwidth and idle
  // time are taken from `limits`. What is open stays open.
  void SetLimits(uint64_t connections, const NetLimits& limits);
  // Whether the limit leaves room for one more, beside `others` that are not started yet.
  bool HasRoom(size_t others) const { return relays_.size() + others < limit_; }
  // `inside` and `outside` as in Relay; connect(2) has been called.
  void Start(Direction direction, UniqueFd inside, UniqueFd outside) {
    Insert(direction, std::move(inside), std::move(outside));
  }
  // The same for one that goes out and has no answer yet: dialing() has it until there is one.
  void StartDialing(UniqueFd inside, UniqueFd outside);
  size_t dialing() const { return dialing_.size(); }
  size_t size() const { return relays_.size(); }
  // Those that are left are not in the gauge any more, which is another proxy's from now on.
  void StopCounting();
  // Which datagrams and pings are charged to as well. `from`: Relay::kInside for what goes out.
  bool TakeDatagram(size_t from, size_t bytes) {
    return !resources_.bandwidth[from] || resources_.bandwidth[from]->TakeDatagram(bytes);
  }

 private:
  Relay* Insert(Direction direction, UniqueFd inside, UniqueFd outside);
  void OnEvents(Relay* relay, size_t side, uint32_t events);
  void Settle(Relay* relay, Relay::State state);
  void RunWaiting();
  void Remove(Relay* relay);
  void SetBandwidth(size_t from, NetCounter hits, uint64_t bytes_per_second);
  void SweepIdle();

  EventLoop& loop_;
  RelayResources resources_;
  const size_t most_;
  size_t limit_;
  bool counts_ = true;  // the gauge is ours
  std::chrono::milliseconds idle_timeout_{};
  EventLoop::TimerId idle_sweep_ = 0;
  struct Entry {
    std::unique_ptr<Relay> relay;
    uint8_t idle_sweeps = 0;  // in a row
  };
  std::unordered_map<Relay*, Entry> relays_;
  std::unordered_set<const Relay*> dialing_;
  std::vector<Relay*> waiting_;  // have more to do than one turn allows
};

}  // namespace bailey::netproxy
