// RelayTable: all relays of the proxy: starts them, gives each its turns, counts and limits them.
// Not thread-safe; runs on the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"
#include "netproxy/relay.h"

namespace bailey::netproxy {

class RelayTable {
 public:
  // `most`: as many as there are descriptors for.
  RelayTable(EventLoop& loop, CounterPage<NetCounter>& counters, size_t most);
  ~RelayTable();
  RelayTable(const RelayTable&) = delete;
  RelayTable& operator=(const RelayTable&) = delete;

  // 0: `most`, which is the upper bound in any case.
  void SetLimit(uint64_t connections);
  // False, and counted as denied, when the limit is reached. `others`: admitted, not started yet.
  bool Admit(size_t others = 0);
  // `inside` and `outside` as in Relay; connect(2) has been called.
  void Start(Direction direction, UniqueFd inside, UniqueFd outside);
  size_t size() const { return relays_.size(); }

 private:
  void OnEvents(Relay* relay, size_t side, uint32_t events);
  void Settle(Relay* relay, Relay::State state);
  void RunWaiting();
  void Remove(Relay* relay);

  EventLoop& loop_;
  RelayResources resources_;
  const size_t most_;
  size_t limit_;
  std::unordered_map<Relay*, std::unique_ptr<Relay>> relays_;
  std::vector<Relay*> waiting_;  // have more to do than one turn allows
};

}  // namespace bailey::netproxy
