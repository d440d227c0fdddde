#include <gtest/gtest.h>

#include <random>

#include "netproxy/egress_rule.h"

namespace bailey::netproxy {
namespace {

TEST(EgressRule, ReadsWhatPeopleWriteAndWritesItBack) {
  for (const char* text :
       {"*", "*:25", "*:8000-8010", "10.0.0.5", "10.0.0.5:3306", "10.0.0.0/8", "10.0.0.0/8:5432",
        "0.0.0.0/0", "192.0.2.1:8000-8010", "[2001:db8::1]", "[2001:db8::1]:443", "[2001:db8::/32]",
        "[2001:db8::/32]:443-444", "[::/0]:1-65535", "*:65535"}) {
    const auto rule = EgressRule::Parse(text);
    ASSERT_TRUE(rule) << rule.error().Message();
    EXPECT_EQ(rule->ToString(), text);
  }
}

TEST(EgressRule, HasOneFormForOneMeaning) {
  const std::pair<const char*, const char*> rows[] = {
      {"2001:db8::/32", "[2001:db8::/32]"},    {"10.0.0.5/32:80", "10.0.0.5:80"},
      {"10.0.0.5:80-80", "10.0.0.5:80"},       {"[2001:DB8:0::1]:443", "[2001:db8::1]:443"},
      {"[::ffff:10.0.0.5]:80", "10.0.0.5:80"}, {"[::ffff:10.0.0.0/104]", "10.0.0.0/8"},
      {"[::ffff:0:0/96]", "0.0.0.0/0"},        {"[::10.0.0.5]", "[::10.0.0.5]"},
  };
  for (const auto& [text, canonical] : rows) {
    const auto rule = EgressRule::Parse(text);
    ASSERT_TRUE(rule) << rule.error().Message();
    EXPECT_EQ(rule->ToString(), canonical);
  }
}

TEST(EgressRule, RefusesTheRestAndSaysHowToWriteIt) {
  for (const char* text : {"",
                           ":",
                           ":25",
                           "*:",
                           "*:0",
                           "*:65536",
                           "*:-1",
                           "*:25-",
                           "*:26-25",
                           "*:0-10",
                           "*:1-65536",
                           "*:25x",
                           "*: 25",
                           "**",
                           "* ",
                           " *",
                           "*/8",
                           "10.0.0.5:",
                           "10.0.0.5:80:81",
                           "10.0.0.1/8",
                           "10.0.0.0/33",
                           "10.0.0",
                           "10.0.0.0/8/8",
                           "2001:db8::1",
                           "2001:db8::1:443",
                           "::1",
                           "2001:db8::/32:443",
                           "[2001:db8::1",
                           "2001:db8::1]",
                           "[2001:db8::1]443",
                           "[2001:db8::1]:",
                           "[2001:db8::1]:0",
                           "[2001:db8::1/32]",
                           "[10.0.0.5]:80",
                           "[*]:80",
                           "[]",
                           "[]:80",
                           "[:]",
                           "example.org:80",
                           "fe80::1%eth0/128",
                           "[[::1]]:80",
                           "10.0.0.5:http",
                           "10.0.0.5:+80"}) {
    const auto rule = EgressRule::Parse(text);
    ASSERT_FALSE(rule) << text << " became " << rule->ToString();
    EXPECT_FALSE(rule.error().Message().empty());
  }
  EXPECT_FALSE(EgressRule::Parse(std::string_view("10.0.0.5\0", 9)));
  EXPECT_NE(EgressRule::Parse("2001:db8::1:443").error().Message().find("brackets"),
            std::string::npos);
}

TEST(EgressRule, SurvivesNoise) {
  std::mt19937 random(1);
  constexpr std::string_view kAlphabet = "0123456789abcdef:./-[]* \0x%";
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (size_t length = random() % 24; length > 0; --length)
      text +=
          random() % 16 == 0 ? static_cast<char>(random()) : kAlphabet[random() % kAlphabet.size()];
    const auto rule = EgressRule::Parse(text);
    if (rule) {
      EXPECT_EQ(*EgressRule::Parse(rule->ToString()), *rule) << text;
    }
  }
}

TEST(EgressRule, Matches) {
  const auto matches = [](const char* rule, const char* address, uint16_t port) {
    return EgressRule::Parse(rule)->Matches({*IpAddress::Parse(address), port});
  };
  EXPECT_TRUE(matches("*", "8.8.8.8", 1));
  EXPECT_TRUE(matches("*", "2001:db8::1", 0));
  EXPECT_TRUE(matches("*:25", "2001:db8::1", 25));
  EXPECT_FALSE(matches("*:25", "2001:db8::1", 26));
  EXPECT_FALSE(matches("*:25", "8.8.8.8", 0));
  EXPECT_TRUE(matches("10.0.0.0/8:80-82", "10.9.9.9", 82));
  EXPECT_FALSE(matches("10.0.0.0/8:80-82", "10.9.9.9", 83));
  EXPECT_FALSE(matches("10.0.0.0/8", "11.0.0.0", 80));
  EXPECT_FALSE(matches("0.0.0.0/0", "2001:db8::1", 80));
}

}  // namespace
}  // namespace bailey::netproxy
