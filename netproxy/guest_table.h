// GuestTable: who talks to the tenant's published UDP ports. A guest is one foreign address at one
// of these ports, for 30 s after the last datagram, or 180 s once there were some both ways. When
// there are too many, one that was never answered goes first, so that a flood of invented senders
// does not cost a real guest its place.
// A datagram proves nothing: its source may be invented. So a guest whom the policy denies stays
// only while datagrams of his come, and each earns him but a few answers.
// Pure: no I/O; the clock is passed in. Not thread-safe.
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

enum class Standing : uint8_t {
  kAllowed,     // by the policy: sent to as anybody
  kAnswered,    // denied by the policy, but may be answered
  kUnanswered,  // never sent to
};

struct Guest {
  uint16_t port;  // the tenant's
  Endpoint real;  // on the host
  Endpoint seen;  // as the tenant sees it
  Standing standing = Standing::kAllowed;
  bool came = false;   // it has sent something
  bool went = false;   // it was sent something
  size_t answers = 0;  // left; counted for kAnswered alone
};

class GuestTable {
 public:
  using Clock = std::chrono::steady_clock;
  // What one datagram of a guest's earns him, and what he may save up.
  static constexpr size_t kAnswersForOne = 16, kMostAnswers = 256;

  // `left`: is told of each guest that goes, but not by the destructor.
  GuestTable(size_t most, std::function<void(const Guest&)> left)
      : most_(most), left_(std::move(left)) {}

  // nullptr if there is none.
  Guest* FindReal(uint16_t port, const Endpoint& real) { return Find(by_real_, {port, real}); }
  Guest* FindSeen(uint16_t port, const Endpoint& seen) { return Find(by_seen_, {port, seen}); }
  // A new one; neither its real nor its seen address may be there. `evicted`: another had to go.
  Guest* Add(const Guest& guest, Clock::time_point now, bool* evicted);
  // It has sent a datagram.
  void Came(Guest* guest, Clock::time_point now);
  // It is sent something that the policy allows.
  void Went(Guest* guest, Clock::time_point now);
  // It is to be answered by so many: how many of them may go.
  size_t Take(Guest* guest, size_t datagrams, Clock::time_point now);

  void Expire(Clock::time_point now);
  void RemoveIf(const std::function<bool(const Guest&)>& condition);
  void ForEach(const std::function<void(Guest&)>& each);
  void Forget();  // all of them, and tells nobody
  size_t size() const { return by_real_.size(); }

 private:
  struct Entry;
  using List = std::list<Entry>;  // the most recently used first
  struct Entry : Guest {
    Clock::time_point used;
    List* list;  // that it is in
    List::iterator place;
  };
  using Key = std::pair<uint16_t, Endpoint>;
  using Index = std::map<Key, Entry*>;

  static Guest* Find(const Index& index, const Key& key);
  void Touch(Guest* guest, Clock::time_point now);
  void Remove(Entry& entry);

  const size_t most_;
  std::function<void(const Guest&)> left_;
  List one_way_, both_ways_;
  Index by_real_, by_seen_;
};

}  // namespace bailey::netproxy
