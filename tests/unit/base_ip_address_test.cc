#include <gtest/gtest.h>

#include "base/ip_address.h"

namespace bailey {
namespace {

TEST(IpAddress, ParsesAndPrints) {
  for (const char* text : {"0.0.0.0", "203.0.113.7", "255.255.255.255", "::", "::1", "2001:db8::7"})
    EXPECT_EQ(IpAddress::Parse(text)->ToString(), text);
  EXPECT_EQ(IpAddress::Parse("203.0.113.7")->v4(), 0xcb007107u);
  EXPECT_EQ(IpAddress::V4(0x7f000001).ToString(), "127.0.0.1");
}

TEST(IpAddress, RefusesShortOctalZonesAndRubbish) {
  for (const char* text : {"", "1", "127.1", "0177.0.0.1", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ",
                           "fe80::1%eth0", "::g", "example.org"})
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
  EXPECT_FALSE(IpAddress::Parse(std::string_view("1.2.3.4\0x", 9)));
}

TEST(Endpoint, GoesThroughASockaddr) {
  for (const char* text : {"203.0.113.7", "2001:db8::7"}) {
    const Endpoint endpoint{*IpAddress::Parse(text), 443};
    sockaddr_storage storage{};
    EXPECT_EQ(endpoint.ToSockaddr(&storage),
              endpoint.address.is_v6() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
    EXPECT_EQ(Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&storage)), endpoint);
  }
  EXPECT_EQ((Endpoint{*IpAddress::Parse("::1"), 80}.ToString()), "[::1]:80");
}

TEST(Cidr, ContainsExactlyItsRange) {
  const Cidr range = *Cidr::Parse("172.16.0.0/12");
  EXPECT_TRUE(range.Contains(*IpAddress::Parse("172.16.0.0")));
  EXPECT_TRUE(range.Contains(*IpAddress::Parse("172.31.255.255")));
  EXPECT_FALSE(range.Contains(*IpAddress::Parse("172.32.0.0")));
  EXPECT_FALSE(range.Contains(*IpAddress::Parse("172.15.255.255")));
  EXPECT_FALSE(range.Contains(*IpAddress::Parse("::ffff:172.16.0.1")));
  EXPECT_TRUE(Cidr::Parse("0.0.0.0/0")->Contains(*IpAddress::Parse("8.8.8.8")));
  EXPECT_TRUE(Cidr::Parse("fc00::/7")->Contains(*IpAddress::Parse("fd12::1")));
  EXPECT_EQ(Cidr::Parse("10.0.0.5")->ToString(), "10.0.0.5");
}

TEST(Cidr, RefusesHostBitsAndWrongPrefixes) {
  for (const char* text :
       {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::/129", "10/8"})
    EXPECT_FALSE(Cidr::Parse(text)) << text;
}

}  // namespace
}  // namespace bailey
