#include <gtest/gtest.h>

#include "netproxy/egress_policy.h"
#include "netproxy/special_ranges.h"

namespace bailey::netproxy {
namespace {

struct Egress {
  std::vector<const char*> allow, deny, peers;
  bool allow_by_default = true;
  const char* ip = "203.0.113.7";
};

EgressPolicy Make(const Egress& egress) {
  ProxyConfig config;
  config.tenant = "acme";
  config.ip = *IpAddress::Parse(egress.ip);
  config.egress.allow_by_default = egress.allow_by_default;
  for (const char* rule : egress.allow) config.egress.allow.push_back(*EgressRule::Parse(rule));
  for (const char* rule : egress.deny) config.egress.deny.push_back(*EgressRule::Parse(rule));
  for (const char* peer : egress.peers) config.peers.push_back(*Cidr::Parse(peer));
  return {std::move(config), {*Cidr::Parse("203.0.113.1"), *Cidr::Parse("2001:db8::1")}};
}

std::string Judged(const EgressPolicy& policy, const char* address, uint16_t port = 443) {
  const Judgement judgement = policy.Judge({*IpAddress::Parse(address), port});
  if (judgement.verdict == Verdict::kAllow) return "allow";
  if (judgement.verdict == Verdict::kAskPeer) return "ask";
  return DenialName(judgement.reason);
}

TEST(EgressPolicy, SpecialRangesAreDeniedByDefault) {
  const EgressPolicy policy = Make({});
  const std::pair<const char*, const char*> rows[] = {
      // First and last of each range, and the neighbours that are not special.
      {"0.0.0.0", "private"},
      {"0.255.255.255", "private"},
      {"1.0.0.0", "allow"},
      {"9.255.255.255", "allow"},
      {"10.0.0.0", "private"},
      {"10.255.255.255", "private"},
      {"11.0.0.0", "allow"},
      {"100.63.255.255", "allow"},
      {"100.64.0.0", "private"},
      {"100.127.255.255", "private"},
      {"100.128.0.0", "allow"},
      {"126.255.255.255", "allow"},
      {"127.0.0.0", "loopback"},
      {"127.255.255.255", "loopback"},
      {"128.0.0.0", "allow"},
      {"168.63.129.16", "link_local"},
      {"168.63.129.17", "allow"},
      {"169.253.255.255", "allow"},
      {"169.254.0.0", "link_local"},
      {"169.254.169.254", "link_local"},
      {"169.254.255.255", "link_local"},
      {"169.255.0.0", "allow"},
      {"172.15.255.255", "allow"},
      {"172.16.0.0", "private"},
      {"172.31.255.255", "private"},
      {"172.32.0.0", "allow"},
      {"192.0.0.192", "private"},
      {"192.0.1.0", "allow"},
      {"192.88.99.1", "private"},
      {"192.167.255.255", "allow"},
      {"192.168.0.0", "private"},
      {"192.168.255.255", "private"},
      {"192.169.0.0", "allow"},
      {"198.17.255.255", "allow"},
      {"198.18.0.0", "private"},
      {"198.19.255.255", "private"},
      {"198.20.0.0", "allow"},
      {"223.255.255.255", "allow"},
      {"224.0.0.0", "multicast"},
      {"239.255.255.255", "multicast"},
      {"240.0.0.0", "private"},
      {"255.255.255.254", "private"},
      {"255.255.255.255", "multicast"},
      {"::", "loopback"},
      {"::1", "loopback"},
      {"64:ff9b:1::808:808", "private"},
      {"100::1", "private"},
      {"2001:2::1", "private"},
      {"fbff::1", "allow"},
      {"fc00::", "private"},
      {"fdff::1", "private"},
      {"fd00:ec2::254", "link_local"},
      {"fe00::1", "allow"},
      {"fe80::1", "link_local"},
      {"febf::1", "link_local"},
      {"fec0::1", "private"},
      {"ff02::1", "multicast"},
      // What this project's networks, and everybody's documents, use.
      {"192.0.2.1", "allow"},
      {"198.51.100.1", "allow"},
      {"203.0.113.9", "allow"},
      {"2001:db8::9", "allow"},
      {"8.8.8.8", "allow"},
      {"2606:4700::1111", "allow"},
  };
  for (const auto& [address, wanted] : rows) EXPECT_EQ(Judged(policy, address), wanted) << address;
}

TEST(EgressPolicy, AnAddressIsJudgedByWhatItCarries) {
  const EgressPolicy policy = Make({.deny = {"198.51.100.66"}, .peers = {"203.0.113.8"}});
  const std::pair<const char*, const char*> rows[] = {
      {"::ffff:10.0.0.5", "private"},
      {"::ffff:127.0.0.1", "loopback"},
      {"::ffff:169.254.169.254", "link_local"},
      {"::ffff:203.0.113.1", "host"},
      {"::ffff:203.0.113.8", "ask"},  // the very same endpoint
      {"::ffff:198.51.100.66", "rule"},
      {"::ffff:8.8.8.8", "allow"},
      {"::10.0.0.5", "private"},
      {"::8.8.8.8", "allow"},
      {"::ffff:0:10.0.0.5", "private"},
      {"64:ff9b::10.0.0.5", "private"},
      {"64:ff9b::127.0.0.1", "loopback"},
      {"64:ff9b::203.0.113.1", "host"},
      {"64:ff9b::203.0.113.8", "tenant"},
      {"64:ff9b::198.51.100.66", "rule"},
      {"64:ff9b::8.8.8.8", "allow"},
      {"2002:a00:5::1", "private"},         // 10.0.0.5
      {"2002:a9fe:a9fe::1", "link_local"},  // 169.254.169.254
      {"2002:7f00:1::", "loopback"},
      {"2002:808:808::1", "allow"},
      {"2001:0:a00:5:0:0:f7f7:f7f7", "private"},    // Teredo: server 10.0.0.5, client 8.8.8.8
      {"2001:0:808:808:0:0:f5ff:fffa", "private"},  // server 8.8.8.8, client 10.0.0.5
      {"2001:0:808:808:0:0:f7f7:f7f7", "allow"},
  };
  for (const auto& [address, wanted] : rows) EXPECT_EQ(Judged(policy, address), wanted) << address;
}

TEST(EgressPolicy, AWallIsOpenedOnlyByARuleThatLiesWithinIt) {
  struct Row {
    const char* rule;
    const char* address;
    uint16_t port;
    const char* wanted;
  };
  const Row rows[] = {
      {"10.0.0.5:3306", "10.0.0.5", 3306, "allow"},
      {"10.0.0.5:3306", "::ffff:10.0.0.5", 3306, "allow"},
      {"10.0.0.5:3306", "10.0.0.5", 3307, "private"},
      {"10.0.0.5:3306", "10.0.0.6", 3306, "private"},
      {"10.0.0.0/8", "10.9.9.9", 1, "allow"},
      {"10.0.0.0/7", "10.9.9.9", 1, "private"},
      {"0.0.0.0/0", "10.9.9.9", 1, "private"},
      {"*", "10.9.9.9", 1, "private"},
      {"*:3306", "10.0.0.5", 3306, "private"},
      // The metadata service must be named itself.
      {"169.254.0.0/16", "169.254.1.1", 80, "allow"},
      {"169.254.0.0/16", "169.254.169.254", 80, "link_local"},
      {"169.254.169.254:80", "169.254.169.254", 80, "allow"},
      // The host's own addresses.
      {"203.0.113.1:5432", "203.0.113.1", 5432, "allow"},
      {"203.0.113.1:5432", "203.0.113.1", 22, "host"},
      {"203.0.113.0/24", "203.0.113.1", 5432, "host"},
      {"*:5432", "203.0.113.1", 5432, "host"},
      {"[2001:db8::1]:5432", "2001:db8::1", 5432, "allow"},
      // Port 25.
      {"*:25", "198.51.100.1", 25, "allow"},
      {"198.51.100.1:25", "198.51.100.1", 25, "allow"},
      {"198.51.100.1", "198.51.100.1", 25, "port"},
      {"*", "198.51.100.1", 25, "port"},
      {"*:20-30", "198.51.100.1", 25, "port"},
      {"*:25", "10.0.0.5", 25, "private"},
      {"10.0.0.5:25", "10.0.0.5", 25, "allow"},
      {"10.0.0.5", "10.0.0.5", 25, "port"},
      // An allow rule for what is carried opens nothing.
      {"10.0.0.5", "2002:a00:5::1", 80, "private"},
      {"[64:ff9b::/96]", "64:ff9b::10.0.0.5", 80, "private"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(Judged(Make({.allow = {row.rule}}), row.address, row.port), row.wanted)
        << row.rule << " for " << row.address << ":" << row.port;
}

TEST(EgressPolicy, TwoWallsAreOpenedByTwoRules) {
  const EgressPolicy policy = Make({.allow = {"10.0.0.0/8", "*:25"}});
  EXPECT_EQ(Judged(policy, "10.0.0.5", 25), "allow");
}

TEST(EgressPolicy, TheMostSpecificRuleWins) {
  const EgressPolicy narrow_allow = Make({.allow = {"10.0.0.5:3306"}, .deny = {"10.0.0.0/8"}});
  EXPECT_EQ(Judged(narrow_allow, "10.0.0.5", 3306), "allow");
  EXPECT_EQ(Judged(narrow_allow, "10.0.0.5", 80), "rule");
  const EgressPolicy narrow_deny = Make({.allow = {"10.0.0.0/8"}, .deny = {"10.0.0.5"}});
  EXPECT_EQ(Judged(narrow_deny, "10.0.0.6"), "allow");
  EXPECT_EQ(Judged(narrow_deny, "10.0.0.5"), "rule");
  const EgressPolicy tie = Make({.allow = {"8.8.8.8:53"}, .deny = {"8.8.8.8:53"}});
  EXPECT_EQ(Judged(tie, "8.8.8.8", 53), "rule");
  const EgressPolicy ports = Make({.allow = {"8.8.8.8:53"}, .deny = {"8.8.8.8"}});
  EXPECT_EQ(Judged(ports, "8.8.8.8", 53), "allow");
  EXPECT_EQ(Judged(ports, "8.8.8.8", 54), "rule");
  const EgressPolicy wildcard = Make({.allow = {"*:25"}, .deny = {"198.51.100.0/24"}});
  EXPECT_EQ(Judged(wildcard, "198.51.100.1", 25), "rule");
  EXPECT_EQ(Judged(wildcard, "198.51.101.1", 25), "allow");
}

TEST(EgressPolicy, DefaultDenyLetsThroughWhatIsAllowed) {
  const EgressPolicy policy = Make(
      {.allow = {"*:443", "198.51.100.0/24"}, .peers = {"203.0.113.8"}, .allow_by_default = false});
  EXPECT_EQ(Judged(policy, "8.8.8.8", 443), "allow");
  EXPECT_EQ(Judged(policy, "8.8.8.8", 80), "rule");
  EXPECT_EQ(Judged(policy, "198.51.100.1", 80), "allow");
  EXPECT_EQ(Judged(policy, "10.0.0.5", 443), "private");
  EXPECT_EQ(Judged(policy, "203.0.113.8", 443), "ask");
  EXPECT_EQ(Judged(policy, "203.0.113.8", 80), "rule");
  EXPECT_EQ(Judged(policy, "2606:4700::1111", 443), "allow");
  EXPECT_EQ(Judged(policy, "2606:4700::1111", 80), "rule");
}

TEST(EgressPolicy, PeersAreAskedForWhateverIsAllowed) {
  // A tenant beside others in a private range and in 127/8: peers, then the wall.
  const EgressPolicy policy = Make(
      {.allow = {"127.77.0.3:22"}, .peers = {"127.77.0.0/24", "203.0.113.1"}, .ip = "127.77.0.2"});
  EXPECT_EQ(Judged(policy, "127.77.0.3", 80), "ask");
  EXPECT_EQ(Judged(policy, "127.77.0.3", 22), "ask");  // no rule opens a peer
  EXPECT_EQ(Judged(policy, "127.77.0.3", 25), "port");
  EXPECT_EQ(Judged(policy, "127.77.1.3", 80), "loopback");
  EXPECT_EQ(Judged(policy, "127.77.0.2", 80), "host");  // itself, from outside
  EXPECT_EQ(Judged(policy, "203.0.113.1", 80), "ask");  // a peer first, the host's second
  EXPECT_EQ(Judged(Make({.deny = {"203.0.113.8"}, .peers = {"203.0.113.8"}}), "203.0.113.8"),
            "rule");
}

TEST(EgressPolicy, HostAddressesAreDenied) {
  const EgressPolicy policy = Make({});
  EXPECT_EQ(Judged(policy, "203.0.113.1"), "host");
  EXPECT_EQ(Judged(policy, "2001:db8::1"), "host");
  EXPECT_EQ(Judged(policy, "203.0.113.7"), "host");  // never comes here: StaysInside
}

// Who has sent a datagram, and may not be who he seems to be.
TEST(EgressPolicy, NobodyBehindAWallIsAnswered) {
  const auto answered = [](const Egress& egress, const char* guest) {
    return Make(egress).MayBeAnswered({*IpAddress::Parse(guest), 53});
  };
  const Egress nothing{.deny = {"*"}, .allow_by_default = false};
  EXPECT_TRUE(answered(nothing, "198.51.100.9"));
  EXPECT_TRUE(answered(nothing, "2001:db8:113::9"));
  for (const char* guest :
       {"10.0.0.1", "::ffff:10.0.0.1", "192.168.0.1", "127.0.0.1", "169.254.169.254", "224.0.0.1",
        "255.255.255.255", "203.0.113.1", "203.0.113.7", "2001:db8::1", "fd00::1", "fe80::1",
        "2002:a00:1::1", "64:ff9b::a9fe:a9fe", "2002:cb00:7101::1"}) {
    EXPECT_FALSE(answered({}, guest)) << guest;
    EXPECT_FALSE(answered(nothing, guest)) << guest;
  }
  EXPECT_TRUE(answered({.allow = {"10.0.0.0/8"}}, "10.0.0.1"));
  // A tenant on a private network serves that network, and no other.
  const Egress home{.ip = "192.168.1.7"};
  EXPECT_TRUE(answered(home, "192.168.1.20"));
  EXPECT_FALSE(answered(home, "10.0.0.1"));
  EXPECT_FALSE(answered(home, "192.168.1.7"));
}

TEST(EgressPolicy, KnowsWhatStaysInside) {
  const auto inside = [](const char* ip, const char* address) {
    return Make({.ip = ip}).StaysInside(*IpAddress::Parse(address));
  };
  EXPECT_TRUE(inside("203.0.113.7", "203.0.113.7"));
  EXPECT_TRUE(inside("203.0.113.7", "::ffff:203.0.113.7"));
  EXPECT_TRUE(inside("203.0.113.7", "127.0.0.1"));
  EXPECT_TRUE(inside("203.0.113.7", "127.99.0.1"));
  EXPECT_TRUE(inside("203.0.113.7", "::1"));
  EXPECT_FALSE(inside("203.0.113.7", "203.0.113.8"));
  EXPECT_TRUE(inside("203.0.113.7", "0.0.0.0"));
  EXPECT_TRUE(inside("203.0.113.7", "::"));
  EXPECT_FALSE(inside("203.0.113.7", "0.0.0.1"));
  EXPECT_TRUE(inside("127.77.0.2", "127.0.0.1"));
  EXPECT_TRUE(inside("127.77.0.2", "127.0.0.53"));
  EXPECT_TRUE(inside("127.77.0.2", "127.77.0.2"));
  EXPECT_FALSE(inside("127.77.0.2", "127.77.0.3"));
  EXPECT_TRUE(inside("2001:db8::7", "2001:db8::7"));
  EXPECT_FALSE(inside("2001:db8::7", "2001:db8::8"));
}

TEST(EgressPolicy, EveryDenialHasACounter) {
  EXPECT_EQ(DenialCounter(DenyReason::kPrivate), NetCounter::kDeniedPrivate);
  EXPECT_EQ(DenialCounter(DenyReason::kTenant), NetCounter::kDeniedTenant);
  for (auto reason = DenyReason::kRule; reason <= DenyReason::kMulticast;
       reason = static_cast<DenyReason>(static_cast<int>(reason) + 1))
    EXPECT_NE(std::string(DenialName(reason)), "");
}

TEST(SpecialRanges, EveryRowHasAReason) {
  for (const SpecialRange& row : SpecialRanges()) {
    EXPECT_NE(std::string_view(row.reason), "") << row.range.ToString();
    EXPECT_EQ(Unmapped(row.range), row.range);
  }
}

TEST(SpecialRanges, MappedThereAndBack) {
  for (const char* text : {"10.0.0.0/8", "0.0.0.0/0", "203.0.113.7"})
    EXPECT_EQ(Unmapped(Mapped(*Cidr::Parse(text))).ToString(), Cidr::Parse(text)->ToString());
  EXPECT_EQ(Mapped(*Cidr::Parse("10.0.0.0/8")).ToString(), "::ffff:10.0.0.0/104");
}

}  // namespace
}  // namespace bailey::netproxy
