#include "netproxy/guest_table.h"

#include <algorithm>

namespace bailey::netproxy {
namespace {

constexpr std::chrono::seconds kOneWay{30}, kBothWays{180};

}  // namespace

Guest* GuestTable::Find(const Index& index, const Key& key) {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : found->second;
}

Guest* GuestTable::Add(const Guest& guest, Clock::time_point now, bool* evicted) {
  *evicted = size() >= most_;
  if (*evicted) Remove(one_way_.empty() ? both_ways_.back() : one_way_.back());
  one_way_.push_front(Entry{guest, now, &one_way_, {}});
  Entry& entry = one_way_.front();
  entry.place = one_way_.begin();
  entry.came = entry.went = false;
  entry.answers = 0;
  by_real_[{guest.port, guest.real}] = by_seen_[{guest.port, guest.seen}] = &entry;
  return &entry;
}

void GuestTable::Touch(Guest* guest, Clock::time_point now) {
  Entry& entry = *static_cast<Entry*>(guest);
  List& list = entry.came && entry.went ? both_ways_ : one_way_;
  list.splice(list.begin(), *entry.list, entry.place);
  entry.list = &list;
  entry.used = now;
}

void GuestTable::Came(Guest* guest, Clock::time_point now) {
  guest->came = true;
  guest->answers = std::min(guest->answers + kAnswersForOne, kMostAnswers);
  Touch(guest, now);
}

void GuestTable::Went(Guest* guest, Clock::time_point now) {
  guest->went = true;
  Touch(guest, now);
}

size_t GuestTable::Take(Guest* guest, size_t datagrams, Clock::time_point now) {
  switch (guest->standing) {
    case Standing::kAllowed:
      Went(guest, now);
      return datagrams;
    case Standing::kAnswered:
      break;
    case Standing::kUnanswered:
      return 0;
  }
  const size_t taken = std::min(datagrams, guest->answers);
  guest->answers -= taken;
  if (taken > 0) guest->went = true;  // what it is worth is seen when it comes again
  return taken;
}

void GuestTable::Remove(Entry& entry) {
  const Guest gone = entry;
  by_real_.erase({gone.port, gone.real});
  by_seen_.erase({gone.port, gone.seen});
  entry.list->erase(entry.place);
  left_(gone);
}

void GuestTable::Expire(Clock::time_point now) {
  while (!one_way_.empty() && now - one_way_.back().used > kOneWay) Remove(one_way_.back());
  while (!both_ways_.empty() && now - both_ways_.back().used > kBothWays) Remove(both_ways_.back());
}

void GuestTable::RemoveIf(const std::function<bool(const Guest&)>& condition) {
  for (List* list : {&one_way_, &both_ways_})
    for (auto entry = list->begin(); entry != list->end();) {
      const auto next = std::next(entry);
      if (condition(*entry)) Remove(*entry);
      entry = next;
    }
}

void GuestTable::ForEach(const std::function<void(Guest&)>& each) {
  for (List* list : {&one_way_, &both_ways_})
    for (Entry& entry : *list) each(entry);
}

void GuestTable::Forget() {
  by_real_.clear();
  by_seen_.clear();
  one_way_.clear();
  both_ways_.clear();
}

}  // namespace bailey::netproxy
