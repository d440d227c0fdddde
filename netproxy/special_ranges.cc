#include "netproxy/special_ranges.h"

#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "netproxy/egress_rule.h"

namespace bailey::netproxy {
namespace {

// The ranges as text, so that the tables can be read and compared with their sources.
struct SpecialRow {
  const char* range;
  SpecialKind kind;
  const char* reason;
};
constexpr SpecialRow kSpecialRows[] = {
    {"0.0.0.0/8", SpecialKind::kPrivate, "RFC 1122: this network"},
    {"10.0.0.0/8", SpecialKind::kPrivate, "RFC 1918: private"},
    {"100.64.0.0/10", SpecialKind::kPrivate, "RFC 6598: between a provider and its customers"},
    {"127.0.0.0/8", SpecialKind::kLoopback, "RFC 1122: the host's own services"},
    {"168.63.129.16/32", SpecialKind::kLinkLocal, "metadata: Azure's platform service"},
    {"169.254.0.0/16", SpecialKind::kLinkLocal, "RFC 3927: link-local"},
    {"169.254.169.254/32", SpecialKind::kLinkLocal, "metadata: credentials of the machine"},
    {"169.254.170.2/32", SpecialKind::kLinkLocal, "metadata: credentials of a container"},
    {"172.16.0.0/12", SpecialKind::kPrivate, "RFC 1918: private"},
    {"192.0.0.0/24", SpecialKind::kPrivate, "RFC 6890: protocol assignments; Oracle's metadata"},
    {"192.88.99.0/24", SpecialKind::kPrivate, "RFC 7526: relays of 6to4, withdrawn"},
    {"192.168.0.0/16", SpecialKind::kPrivate, "RFC 1918: private"},
    {"198.18.0.0/15", SpecialKind::kPrivate, "RFC 2544: benchmarks inside a network"},
    {"224.0.0.0/4", SpecialKind::kMulticast, "RFC 5771: multicast"},
    {"240.0.0.0/4", SpecialKind::kPrivate, "RFC 1112: reserved"},
    {"255.255.255.255/32", SpecialKind::kMulticast, "RFC 919: broadcast"},
    {"::/128", SpecialKind::kLoopback, "RFC 4291: unspecified"},
    {"::1/128", SpecialKind::kLoopback, "RFC 4291: the host's own services"},
    {"64:ff9b:1::/48", SpecialKind::kPrivate,
     "RFC 8215: a translator of the network's own; where it keeps the IPv4 address is its choice"},
    {"100::/64", SpecialKind::kPrivate, "RFC 6666: discard"},
    {"2001:2::/48", SpecialKind::kPrivate, "RFC 5180: benchmarks inside a network"},
    {"5f00::/16", SpecialKind::kPrivate, "RFC 9602: segments of a provider's network"},
    {"fc00::/7", SpecialKind::kPrivate, "RFC 4193: private"},
    {"fd00:ec2::254/128", SpecialKind::kLinkLocal, "metadata: Amazon's, by IPv6"},
    {"fd20:ce::254/128", SpecialKind::kLinkLocal, "metadata: Google's, by IPv6"},
    {"fe80::/10", SpecialKind::kLinkLocal, "RFC 4291: link-local"},
    {"fec0::/10", SpecialKind::kPrivate, "RFC 3879: site-local, deprecated"},
    {"ff00::/8", SpecialKind::kMulticast, "RFC 4291: multicast"},
};

struct CarrierRow {
  const char* range;
  int offset;
  bool inverted;
  const char* reason;
};
constexpr CarrierRow kCarrierRows[] = {
    {"::/96", 96, false, "RFC 4291: IPv4-compatible, deprecated"},
    {"::ffff:0:0:0/96", 96, false, "RFC 2765: IPv4-translated"},
    {"64:ff9b::/96", 96, false, "RFC 6052: NAT64"},
    {"64:ff9b:1::/48", 96, false, "RFC 8215: NAT64 of the network's own, as mostly laid out"},
    {"2001::/32", 32, false, "RFC 4380: Teredo, the server"},
    {"2001::/32", 96, true, "RFC 4380: Teredo, the client"},
    {"2002::/16", 16, false, "RFC 3056: 6to4"},
};

constexpr int kIpv4Bits = 32;

Cidr Range(const char* text) {
  const auto range = Cidr::Parse(text);
  BAILEY_CHECK(range.has_value());
  return *range;
}

// Mapped addresses have their own name here: they are the IPv4 address, and carry nothing.
const Cidr& MappedRange() {
  static const Cidr kMapped = Range("::ffff:0:0/96");
  return kMapped;
}

// The 32 bits from `offset`, of which only the first `length` are kept.
Cidr Extract(const IpAddress& address, int offset, int length, bool inverted) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i)
    value = value << 8 | address.bytes()[static_cast<size_t>(offset) / 8 + i];
  if (inverted) value = ~value;
  const uint32_t mask = length == 0 ? 0 : ~uint32_t{0} << (kIpv4Bits - length);
  return {IpAddress::V4(value & mask), length};
}

}  // namespace

std::span<const SpecialRange> SpecialRanges() {
  static const std::vector<SpecialRange> kRanges = [] {
    std::vector<SpecialRange> ranges;
    for (const SpecialRow& row : kSpecialRows)
      ranges.push_back({Range(row.range), row.kind, row.reason});
    return ranges;
  }();
  return kRanges;
}

const SpecialRange* FindSpecial(const Cidr& range) {
  const SpecialRange* best = nullptr;
  for (const SpecialRange& row : SpecialRanges())
    if (IsWithin(range, row.range) && (best == nullptr || best->range.prefix < row.range.prefix))
      best = &row;
  return best;
}

Cidr Unmapped(const Cidr& range) {
  if (!IsWithin(range, MappedRange())) return range;
  constexpr int kOffset = 96;
  return Extract(range.address, kOffset, range.prefix - kOffset, false);
}

IpAddress Unmapped(const IpAddress& address) {
  return Unmapped(Cidr{address, address.bits()}).address;
}

Cidr Mapped(const Cidr& v4) {
  return *Carrying({MappedRange(), MappedRange().prefix, false, ""}, v4);
}

std::span<const Carrier> Carriers() {
  static const std::vector<Carrier> kCarriers = [] {
    std::vector<Carrier> carriers;
    for (const CarrierRow& row : kCarrierRows)
      carriers.push_back({Range(row.range), row.offset, row.inverted, row.reason});
    return carriers;
  }();
  return kCarriers;
}

std::vector<Cidr> Carried(const Cidr& range) {
  std::vector<Cidr> carried;
  for (const Carrier& carrier : Carriers()) {
    if (!IsWithin(range, carrier.range)) continue;
    const int known = std::clamp(range.prefix - carrier.offset, 0, kIpv4Bits);
    const bool by_prefix = Carrying(carrier, Cidr{}).has_value();
    if (!by_prefix && known < kIpv4Bits) continue;
    carried.push_back(Extract(range.address, carrier.offset, known, carrier.inverted));
  }
  return carried;
}

std::optional<Cidr> Carrying(const Carrier& carrier, const Cidr& v4) {
  // Bits between the carrier's own and the address are the network's choice: no single prefix.
  if (carrier.inverted || carrier.offset != carrier.range.prefix) return std::nullopt;
  std::array<uint8_t, 16> bytes = carrier.range.address.bytes();
  std::copy_n(v4.address.bytes().begin(), 4, bytes.begin() + carrier.offset / 8);
  return Cidr{IpAddress::V6(bytes), carrier.offset + v4.prefix};
}

}  // namespace bailey::netproxy
