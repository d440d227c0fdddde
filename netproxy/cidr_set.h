// CidrSet: addresses as disjoint ranges, found in logarithmic time. Immutable, thread-safe.
#pragma once

#include <vector>

#include "base/ip_address.h"

namespace bailey::netproxy {

class CidrSet {
 public:
  CidrSet() = default;
  // Ranges within others are dropped. IPv4-mapped ones become IPv4.
  explicit CidrSet(std::vector<Cidr> ranges);

  // The range that has all of `range`; nullptr if none has.
  const Cidr* Find(const Cidr& range) const;
  const std::vector<Cidr>& ranges() const { return ranges_; }

 private:
  std::vector<Cidr> ranges_;  // sorted
};

}  // namespace bailey::netproxy
