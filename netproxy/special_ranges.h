// What no tenant reaches by default: ranges that mean something else on every network, or that
// lead to the host and its surroundings. A table with a reason in each row.
//
// Documentation ranges (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32) are left out
// on purpose: no network routes them by accident, and test networks use them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ip_address.h"

namespace bailey::netproxy {

// Each has a NetCounter of its own.
enum class SpecialKind : uint8_t { kLoopback, kLinkLocal, kPrivate, kMulticast };

struct SpecialRange {
  Cidr range;
  SpecialKind kind;
  const char* reason;
};

std::span<const SpecialRange> SpecialRanges();
// The most specific row that has all of `range`; nullptr if none has.
const SpecialRange* FindSpecial(const Cidr& range);

// An IPv4-mapped address (::ffff:0:0/96) is that IPv4 address to the kernel: the very same
// endpoint. Everything else is returned as it is.
IpAddress Unmapped(const IpAddress& address);
Cidr Unmapped(const Cidr& range);
Cidr Mapped(const Cidr& v4);  // the way back: ::ffff:10.0.0.0/104

// IPv6 ranges whose addresses carry an IPv4 address that the packet may end up at.
struct Carrier {
  Cidr range;
  int offset;     // the first bit of the IPv4 address
  bool inverted;  // Teredo keeps the client's address inverted (RFC 4380, section 4)
  const char* reason;
};
// IPv4-compatible, 6to4, NAT64, Teredo's server and client; not the mapped ones.
std::span<const Carrier> Carriers();
// What the addresses of `range` carry, as far as all of `range` has it in common: "2002::/16"
// carries 0.0.0.0/0, 2002:a00:5::/48 carries 10.0.0.5. Where Carrying() has no answer, only a whole
// address carries anything.
std::vector<Cidr> Carried(const Cidr& range);
// The range of `carrier`'s addresses that carry one of `v4`. nullopt when that is no single prefix
// (Teredo's client, and translators of the network's own).
std::optional<Cidr> Carrying(const Carrier& carrier, const Cidr& v4);

}  // namespace bailey::netproxy
