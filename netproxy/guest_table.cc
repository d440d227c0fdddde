#include "netproxy/guest_table.h"

namespace bailey::netproxy {
namespace {

constexpr std::chrono::seconds kOneWay{30}, kBothWays{180};

}  // namespace

Guest* GuestTable::Touch(const Index& index, const Key& key, Clock::time_point now) {
  const auto found = index.find(key);
  if (found == index.end()) return nullptr;
  const auto entry = found->second;
  List& list = ListOf(*entry);
  entry->used = now;
  list.splice(list.begin(), list, entry);
  return &*entry;
}

Guest* GuestTable::FindReal(uint16_t port, const Endpoint& real, Clock::time_point now) {
  return Touch(by_real_, {port, real}, now);
}

Guest* GuestTable::FindSeen(uint16_t port, const Endpoint& seen, Clock::time_point now) {
  return Touch(by_seen_, {port, seen}, now);
}

Guest* GuestTable::Add(const Guest& guest, Clock::time_point now, bool* evicted) {
  *evicted = size() >= most_;
  if (*evicted) {
    List& poorer = one_way_.empty() ? both_ways_ : one_way_;
    Remove(poorer, std::prev(poorer.end()));
  }
  one_way_.push_front(Entry{guest, now});
  const auto entry = one_way_.begin();
  entry->came = entry->went = false;
  by_real_[{guest.port, guest.real}] = entry;
  by_seen_[{guest.port, guest.seen}] = entry;
  return &*entry;
}

void GuestTable::Mark(Guest* guest, bool Guest::*flag) {
  if (guest->*flag) return;
  const auto entry = by_real_.at({guest->port, guest->real});
  List& before = ListOf(*entry);
  guest->*flag = true;
  List& after = ListOf(*entry);
  after.splice(after.begin(), before, entry);
}

void GuestTable::Remove(List& list, List::iterator entry) {
  const Guest gone = *entry;
  by_real_.erase({gone.port, gone.real});
  by_seen_.erase({gone.port, gone.seen});
  list.erase(entry);
  left_(gone);
}

void GuestTable::Expire(Clock::time_point now) {
  while (!one_way_.empty() && now - one_way_.back().used > kOneWay)
    Remove(one_way_, std::prev(one_way_.end()));
  while (!both_ways_.empty() && now - both_ways_.back().used > kBothWays)
    Remove(both_ways_, std::prev(both_ways_.end()));
}

void GuestTable::RemoveIf(const std::function<bool(const Guest&)>& condition) {
  for (List* list : {&one_way_, &both_ways_})
    for (auto entry = list->begin(); entry != list->end();) {
      const auto next = std::next(entry);
      if (condition(*entry)) Remove(*list, entry);
      entry = next;
    }
}

void GuestTable::ForEach(const std::function<void(Guest&)>& each) {
  for (List* list : {&one_way_, &both_ways_})
    for (Entry& entry : *list) each(entry);
}

}  // namespace bailey::netproxy
