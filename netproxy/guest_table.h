// GuestTable: who talks to the tenant's published UDP ports. A guest is one foreign address at one
// of these ports, for 30 s after the last datagram, or 180 s once there were some both ways. When
// there are too many, one that was never answered goes first, so that a flood of invented senders
// does not cost a real guest its place. Pure: no I/O; the clock is passed in. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <utility>

#include "base/ip_address.h"

namespace bailey::netproxy {

struct Guest {
  uint16_t port;        // the tenant's
  Endpoint real;        // on the host
  Endpoint seen;        // as the tenant sees it
  bool came = false;    // it has sent something
  bool went = false;    // it was sent something
  bool listed = false;  // with the egress programs
};

class GuestTable {
 public:
  using Clock = std::chrono::steady_clock;

  // `left`: is told of each guest that goes, but not by the destructor.
  GuestTable(size_t most, std::function<void(const Guest&)> left)
      : most_(most), left_(std::move(left)) {}

  // The guest, as one that was used just now; null if there is none.
  Guest* FindReal(uint16_t port, const Endpoint& real, Clock::time_point now);
  Guest* FindSeen(uint16_t port, const Endpoint& seen, Clock::time_point now);
  bool HasSeen(uint16_t port, const Endpoint& seen) const {
    return by_seen_.contains({port, seen});
  }
  // A new one; neither its real nor its seen address may be there. `evicted`: another had to go.
  Guest* Add(const Guest& guest, Clock::time_point now, bool* evicted);
  // It has been sent something, or has sent something: may be worth more from now on.
  void Came(Guest* guest) { Mark(guest, &Guest::came); }
  void Went(Guest* guest) { Mark(guest, &Guest::went); }

  void Expire(Clock::time_point now);
  void RemoveIf(const std::function<bool(const Guest&)>& condition);
  void ForEach(const std::function<void(Guest&)>& each);
  size_t size() const { return by_real_.size(); }

 private:
  struct Entry : Guest {
    Clock::time_point used;
  };
  using List = std::list<Entry>;  // the most recently used first
  using Key = std::pair<uint16_t, Endpoint>;
  using Index = std::map<Key, List::iterator>;

  List& ListOf(const Entry& entry) { return entry.came && entry.went ? both_ways_ : one_way_; }
  Guest* Touch(const Index& index, const Key& key, Clock::time_point now);
  void Mark(Guest* guest, bool Guest::*flag);
  void Remove(List& list, List::iterator entry);

  const size_t most_;
  std::function<void(const Guest&)> left_;
  List one_way_, both_ways_;
  Index by_real_, by_seen_;
};

}  // namespace bailey::netproxy
