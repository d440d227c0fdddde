// The kernel's copy of a policy against the policy itself: random policies, random destinations.
#include <gtest/gtest.h>

#include <random>

#include "netproxy/kernel_policy.h"
#include "netproxy/special_ranges.h"

namespace bailey::netproxy {
namespace {

// What the BPF programs do, in the simplest way.
bailey_egress_ports Lookup(const std::vector<KernelPrefix>& prefixes, const Endpoint& to) {
  const KernelPrefix* longest = nullptr;
  for (const KernelPrefix& each : prefixes)
    if (each.prefix.Contains(to.address) &&
        (longest == nullptr || each.prefix.prefix > longest->prefix.prefix))
      longest = &each;
  EXPECT_NE(longest, nullptr) << to.ToString();
  for (const bailey_egress_ports& segment : longest->value.ports)
    if (to.port <= segment.last_port) return segment;
  ADD_FAILURE() << "no segment for " << to.ToString();
  return {};
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  uint32_t Below(uint32_t limit) { return engine_() % limit; }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  template <class Items>
  const auto& Of(const Items& items) {
    return items[Below(static_cast<uint32_t>(std::size(items)))];
  }

  // An address that tells something: near a range's edge, and perhaps carried.
  IpAddress Address() {
    static const std::vector<Cidr> kPlaces = [] {
      std::vector<Cidr> places;
      for (const SpecialRange& row : SpecialRanges()) places.push_back(row.range);
      for (const char* text : {"203.0.113.0/24", "198.51.100.0/24", "8.8.8.0/24", "127.77.0.0/16",
                               "10.1.0.0/16", "2001:db8::/32", "2606:4700::/32"})
        places.push_back(*Cidr::Parse(text));
      for (const Carrier& carrier : Carriers()) places.push_back(carrier.range);
      return places;
    }();
    const IpAddress address = Within(Of(kPlaces));
    if (address.is_v6()) return OneIn(2) ? address : Inverted(address);
    switch (Below(3)) {
      case 0:
        return Mapped({address, 32}).address;
      case 1: {
        const Carrier& carrier = Of(Carriers());
        const auto range = Carrying(carrier, {address, 32});
        return range ? Within(*range) : address;
      }
      default:
        return address;
    }
  }
  Cidr Range() {
    IpAddress address = Address();
    while (Unmapped(address) != address) address = Unmapped(address);
    const int prefix = address.bits() - static_cast<int>(Below(OneIn(2) ? 1 : 33));
    return Masked(address, prefix);
  }
  EgressRule Rule() {
    EgressRule rule;
    if (!OneIn(4)) rule.range = Range();
    const uint16_t first = Port();
    if (OneIn(2)) rule.ports = {std::max<uint16_t>(first, 1), std::max<uint16_t>(first, 1)};
    if (OneIn(6) && first > 0)
      rule.ports = {first, static_cast<uint16_t>(first + Below(65536u - first))};
    return rule;
  }
  uint16_t Port() {
    constexpr uint16_t kPorts[] = {0, 1, 22, 24, 25, 26, 53, 80, 81, 443, 3306, 8000, 65535};
    return OneIn(4) ? static_cast<uint16_t>(Below(65536)) : Of(kPorts);
  }
  EgressPolicy Policy() {
    ProxyConfig config;
    config.ip = OneIn(3) ? *IpAddress::Parse("127.77.0.2") : Unmapped(Address());
    config.egress.allow_by_default = !OneIn(3);
    for (uint32_t n = Below(6); n > 0; --n) config.egress.allow.push_back(Rule());
    for (uint32_t n = Below(6); n > 0; --n) config.egress.deny.push_back(Rule());
    for (uint32_t n = Below(6); n > 0; --n) config.peers.push_back(Range());
    std::vector<Cidr> host;
    for (uint32_t n = Below(6); n > 0; --n) {
      const IpAddress address = Unmapped(Address());
      host.push_back({address, address.bits()});
    }
    return {std::move(config), std::move(host)};
  }
  // Mostly where the policy makes a difference.
  Endpoint Destination(const std::vector<KernelPrefix>& prefixes) {
    return {OneIn(2) ? Within(Of(prefixes).prefix) : Address(), Port()};
  }

 private:
  IpAddress Within(const Cidr& range) {
    const uint32_t kind = Below(3);  // the first, the last, any
    std::array<uint8_t, 16> bytes = range.address.bytes();
    for (int bit = range.prefix; bit < range.address.bits(); ++bit)
      if (kind == 1 || (kind == 2 && OneIn(2)))
        bytes[static_cast<size_t>(bit) / 8] |= static_cast<uint8_t>(0x80 >> (bit % 8));
    return Of(bytes, range.address.is_v6());
  }
  // As Teredo keeps its client.
  IpAddress Inverted(const IpAddress& address) {
    std::array<uint8_t, 16> bytes = address.bytes();
    for (size_t i = 12; i < 16; ++i) bytes[i] = static_cast<uint8_t>(~bytes[i]);
    return IpAddress::V6(bytes);
  }
  static IpAddress Of(const std::array<uint8_t, 16>& bytes, bool v6) {
    if (v6) return IpAddress::V6(bytes);
    return IpAddress::V4(uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
                         uint32_t{bytes[2]} << 8 | bytes[3]);
  }
  static Cidr Masked(const IpAddress& address, int prefix) {
    std::array<uint8_t, 16> bytes = address.bytes();
    for (int bit = prefix; bit < address.bits(); ++bit)
      bytes[static_cast<size_t>(bit) / 8] &= static_cast<uint8_t>(~(0x80 >> (bit % 8)));
    return {Of(bytes, address.is_v6()), prefix};
  }

  std::mt19937 engine_;
};

bool IsTeredo(const IpAddress& address) { return Cidr::Parse("2001::/32")->Contains(address); }
bool IsOfALocalTranslator(const IpAddress& address) {
  return Cidr::Parse("64:ff9b:1::/48")->Contains(address);
}

TEST(KernelPolicy, DeniesOnlyWhatThePolicyDenies) {
  Random random(7);
  size_t denied = 0, passed = 0;
  for (int round = 0; round < 120; ++round) {
    const EgressPolicy policy = random.Policy();
    const std::vector<KernelPrefix> prefixes = KernelPolicy(policy);
    for (int i = 0; i < 300; ++i) {
      const Endpoint to = random.Destination(prefixes);
      const bailey_egress_ports kernel = Lookup(prefixes, to);
      const Judgement judgement = policy.Judge(to);
      const bool denies = judgement.verdict == Verdict::kDeny;
      kernel.deny != 0 ? ++denied : ++passed;
      if (policy.StaysInside(to.address)) {
        EXPECT_EQ(kernel.deny, 0) << to.ToString();
      } else if (kernel.deny != 0) {
        ASSERT_TRUE(denies) << to.ToString() << "\n" << FormatProxyConfig(policy.config());
        // Of what an address carries the kernel may see less, and name a later reason.
        if (Carried({to.address, to.address.bits()}).empty()) {
          EXPECT_EQ(kernel.reason, static_cast<uint8_t>(judgement.reason)) << to.ToString();
        }
      } else if (policy.PortBoundaries().size() <= BAILEY_EGRESS_PORTS && !IsTeredo(to.address) &&
                 !IsOfALocalTranslator(to.address) && judgement.reason != DenyReason::kTenant) {
        // Nothing else is left to the proxy.
        ASSERT_FALSE(denies) << to.ToString() << "\n" << FormatProxyConfig(policy.config());
      }
    }
  }
  EXPECT_GT(denied, 5'000u);
  EXPECT_GT(passed, 4'000u);
}

TEST(KernelPolicy, DeniesTheSpecialRanges) {
  ProxyConfig config;
  config.ip = *IpAddress::Parse("203.0.113.7");
  const EgressPolicy policy(config, {*Cidr::Parse("203.0.113.1")});
  const std::vector<KernelPrefix> prefixes = KernelPolicy(policy);
  const std::pair<const char*, bool> rows[] = {
      {"10.0.0.5", true},
      {"::ffff:10.0.0.5", true},
      {"64:ff9b::10.0.0.5", true},
      {"2002:a00:5::1", true},
      {"2001:0:a00:5::1", true},
      {"::10.0.0.5", true},
      {"169.254.169.254", true},
      {"fd00:ec2::254", true},
      {"fe80::1", true},
      {"224.0.0.1", true},
      {"255.255.255.255", true},
      {"203.0.113.1", true},
      {"0.0.0.1", true},
      {"::ffff:203.0.113.1", true},
      {"64:ff9b:1::1", true},
      {"203.0.113.7", false},
      {"::ffff:203.0.113.7", false},
      {"127.0.0.1", false},
      {"::1", false},
      {"::ffff:127.0.0.1", false},
      {"127.0.0.53", false},
      {"0.0.0.0", false},
      {"::", false},
      {"203.0.113.9", false},
      {"8.8.8.8", false},
      {"2606:4700::1111", false},
  };
  for (const auto& [address, denied] : rows)
    EXPECT_EQ(Lookup(prefixes, {*IpAddress::Parse(address), 80}).deny != 0, denied) << address;
  EXPECT_NE(Lookup(prefixes, {*IpAddress::Parse("8.8.8.8"), 25}).deny, 0);
  EXPECT_LT(prefixes.size(), 400u);
}

TEST(KernelPolicy, LeavesToTheProxyWhatNoPrefixExpresses) {
  ProxyConfig config;
  config.ip = *IpAddress::Parse("203.0.113.7");
  config.egress.deny = {*EgressRule::Parse("0.0.0.0/0")};
  config.egress.allow = {*EgressRule::Parse("8.8.8.8"), *EgressRule::Parse("[64:ff9b:1::/48]")};
  const EgressPolicy policy(config, {});
  const std::vector<KernelPrefix> prefixes = KernelPolicy(policy);
  const Endpoint allowed{*IpAddress::Parse("64:ff9b:1::808:808"), 80};
  EXPECT_EQ(policy.Judge(allowed).verdict, Verdict::kAllow);
  EXPECT_EQ(Lookup(prefixes, allowed).deny, 0);
  const Endpoint denied{*IpAddress::Parse("64:ff9b:1::808:404"), 80};
  EXPECT_EQ(policy.Judge(denied).verdict, Verdict::kDeny);
}

TEST(KernelPolicy, ManyPortsAreLeftToTheProxy) {
  ProxyConfig config;
  config.ip = *IpAddress::Parse("203.0.113.7");
  for (uint16_t port = 1000; port < 1040; port += 2)
    config.egress.deny.push_back({std::nullopt, {port, port}});
  const EgressPolicy policy(config, {});
  const std::vector<KernelPrefix> prefixes = KernelPolicy(policy);
  const IpAddress somewhere = *IpAddress::Parse("8.8.8.8");
  EXPECT_NE(Lookup(prefixes, {somewhere, 25}).deny, 0);
  EXPECT_NE(Lookup(prefixes, {somewhere, 1000}).deny, 0);
  EXPECT_EQ(Lookup(prefixes, {somewhere, 1038}).deny, 0);
  EXPECT_EQ(policy.Judge({somewhere, 1038}).verdict, Verdict::kDeny);
  EXPECT_EQ(Lookup(prefixes, {somewhere, 65535}).deny, 0);
}

TEST(KernelPolicy, PublicPeersCostNothing) {
  ProxyConfig config;
  config.ip = *IpAddress::Parse("203.0.113.7");
  const size_t alone = KernelPolicy(EgressPolicy(config, {})).size();
  for (uint32_t i = 0; i < 1000; ++i)
    config.peers.push_back({IpAddress::V4(0xc6336401 + 2 * i), 32});  // 198.51.100.1 and on
  EXPECT_EQ(KernelPolicy(EgressPolicy(config, {})).size(), alone);
}

TEST(KernelPolicy, KeysAreAsTheTrieWantsThem) {
  const bailey_egress_key4 key4 = Key4(*Cidr::Parse("10.1.0.0/16"));
  EXPECT_EQ(key4.prefix, 16u);
  EXPECT_EQ(key4.address[0], 10);
  EXPECT_EQ(key4.address[1], 1);
  const bailey_egress_key6 key6 = Key6(*Cidr::Parse("2001:db8::/32"));
  EXPECT_EQ(key6.prefix, 32u);
  EXPECT_EQ(key6.address[3], 0xb8);
}

}  // namespace
}  // namespace bailey::netproxy
