#include <gtest/gtest.h>

#include "netproxy/config.h"

namespace bailey::netproxy {
namespace {

ProxyConfig Full() {
  ProxyConfig config;
  config.tenant = "acme";
  config.ip = *IpAddress::Parse("203.0.113.7");
  config.resolvers = {{*IpAddress::Parse("192.0.2.53"), 53}, {*IpAddress::Parse("::1"), 5353}};
  config.egress.allow_by_default = false;
  config.egress.allow = {*EgressRule::Parse("10.0.0.5:3306"), *EgressRule::Parse("*:443")};
  config.egress.deny = {*EgressRule::Parse("[2001:db8::/32]:443-444")};
  config.publish = {80, 443, PublishRule(Transport::kUdp, 53, 53),
                    PublishRule(Transport::kTcp, 10000, 10099)};
  config.connections = 10'000;
  config.limits = {1, 2, 3, 4, 5, 6, std::chrono::milliseconds(7)};
  config.peers = {*Cidr::Parse("203.0.113.8"), *Cidr::Parse("198.51.100.0/24")};
  config.tenant_uids = {1'000'000, 1'999'999};
  return config;
}

TEST(ProxyConfig, ComesBackAsItWas) {
  const ProxyConfig full = Full();
  EXPECT_EQ(ParseProxyConfig(FormatProxyConfig(full)).value(), full);
  EXPECT_EQ(ParseConfigMessage(FormatConfigMessage(full)).value(), full);
  ProxyConfig closed = full;
  closed.publish.emplace();  // nothing at all, not "whatever it listens on"
  EXPECT_EQ(ParseProxyConfig(FormatProxyConfig(closed)).value(), closed);
  closed.publish.reset();
  EXPECT_EQ(ParseProxyConfig(FormatProxyConfig(closed)).value(), closed);
}

TEST(ProxyConfig, HasDefaults) {
  const auto config = ParseProxyConfig(R"({"tenant":"a","ip":"2001:db8::7","publish":null})");
  ASSERT_TRUE(config) << config.error().Message();
  EXPECT_TRUE(config->egress.allow_by_default);
  EXPECT_EQ(config->publish, std::nullopt);
  EXPECT_EQ(config->connections, 0u);
  EXPECT_TRUE(config->resolvers.empty() && config->peers.empty());
  EXPECT_FALSE(config->tenant_uids.Contains(0));
}

TEST(ProxyConfig, NamesTheKeyOfAMistake) {
  const std::pair<const char*, const char*> rows[] = {
      {R"([])", "object"},
      {R"({)", "not JSON"},
      {R"({"ip":"203.0.113.7"})", "tenant is missing"},
      {R"({"tenant":"a"})", "ip is missing"},
      {R"({"tenant":"a","ip":"203.0.113"})", "ip: not an IP address"},
      {R"({"tenant":"a","ip":"::ffff:203.0.113.7"})", "ip is IPv4-mapped"},
      {R"({"tenant":7,"ip":"203.0.113.7"})", "tenant must be text"},
      {R"({"tenant":"a","ip":"203.0.113.7","egres":{}})", "unknown key egres"},
      {R"({"tenant":"a","ip":"203.0.113.7","egress":{"alow":[]}})", "unknown key egress.alow"},
      {R"({"tenant":"a","ip":"203.0.113.7","egress":[]})", "egress must be an object"},
      {R"({"tenant":"a","ip":"203.0.113.7","egress":{"default":"maybe"}})", "egress.default"},
      {R"({"tenant":"a","ip":"203.0.113.7","egress":{"allow":"*"}})",
       "egress.allow must be a list"},
      {R"({"tenant":"a","ip":"203.0.113.7","egress":{"deny":["*","*:0"]}})", "egress.deny[1]: "},
      {R"({"tenant":"a","ip":"203.0.113.7","publish":[80,0]})", "publish[1]"},
      {R"({"tenant":"a","ip":"203.0.113.7","publish":[65536]})", "publish[0]"},
      {R"({"tenant":"a","ip":"203.0.113.7","publish":[80.0]})", "publish[0]"},
      {R"({"tenant":"a","ip":"203.0.113.7","publish":80})", "publish must be a list"},
      {R"({"tenant":"a","ip":"203.0.113.7","connections":-1})", "connections"},
      {R"({"tenant":"a","ip":"203.0.113.7","connections":"many"})", "connections"},
      {R"({"tenant":"a","ip":"203.0.113.7","limits":{"halfOpen":-1}})", "limits.halfOpen"},
      {R"({"tenant":"a","ip":"203.0.113.7","limits":{"halfopen":1}})", "unknown key limits.halfo"},
      {R"({"tenant":"a","ip":"203.0.113.7","resolvers":["192.0.2.53"]})", "resolvers[0]: "},
      {R"({"tenant":"a","ip":"203.0.113.7","resolvers":["*:53"]})", "resolvers[0]: "},
      {R"({"tenant":"a","ip":"203.0.113.7","resolvers":["192.0.2.0/24:53"]})", "resolvers[0]: "},
      {R"({"tenant":"a","ip":"203.0.113.7","peers":["203.0.113.7/24"]})", "peers[0]: "},
      {R"({"tenant":"a","ip":"203.0.113.7","tenantUids":{"frist":1}})", "tenantUids.frist"},
      {R"({"tenant":"a","ip":"203.0.113.7","tenantUids":{"first":-1}})", "tenantUids.first"},
  };
  for (const auto& [text, wanted] : rows) {
    const auto config = ParseProxyConfig(text);
    ASSERT_FALSE(config) << text;
    EXPECT_NE(config.error().Message().find(wanted), std::string::npos)
        << text << " says " << config.error().Message();
    EXPECT_TRUE(config.error().Message().starts_with("network: ")) << config.error().Message();
  }
}

TEST(ProxyConfig, AnUpdateIsTheWholeObject) {
  EXPECT_FALSE(ParseConfigMessage(R"({"op":"config"})"));
  EXPECT_FALSE(ParseConfigMessage(R"({"op":"ready","network":{"tenant":"a","ip":"::7"}})"));
  EXPECT_FALSE(ParseConfigMessage(R"({"op":"config","network":{"tenant":"a","ip":"::7"},"x":1})"));
  EXPECT_TRUE(ParseConfigMessage(R"({"op":"config","network":{"tenant":"a","ip":"::7"}})"));
}

TEST(DnsStubAddress, IsOnTheTenantsOwnLoopback) {
  EXPECT_EQ(DnsStubAddress().ToString(), "127.0.0.53");
}

}  // namespace
}  // namespace bailey::netproxy
