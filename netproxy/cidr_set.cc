#include "netproxy/cidr_set.h"

#include <algorithm>

#include "netproxy/egress_rule.h"
#include "netproxy/special_ranges.h"

namespace bailey::netproxy {

CidrSet::CidrSet(std::vector<Cidr> ranges) {
  for (Cidr& range : ranges) range = Unmapped(range);
  // By family, address, prefix: a range comes right before what lies within it.
  std::sort(ranges.begin(), ranges.end());
  for (const Cidr& range : ranges)
    if (ranges_.empty() || !IsWithin(range, ranges_.back())) ranges_.push_back(range);
}

const Cidr* CidrSet::Find(const Cidr& range) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), range);
  if (after == ranges_.begin()) return nullptr;
  const Cidr& before = *(after - 1);
  return IsWithin(range, before) ? &before : nullptr;
}

}  // namespace bailey::netproxy
