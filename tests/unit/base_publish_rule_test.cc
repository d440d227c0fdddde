#include <gtest/gtest.h>

#include "base/publish_rule.h"

namespace bailey {
namespace {

TEST(PublishRule, ReadsWhatItWrites) {
  for (const char* text : {"80", "1", "65535", "10000-10099", "53/udp", "6000-6010/udp"}) {
    const auto rule = PublishRule::Parse(text);
    ASSERT_TRUE(rule) << text;
    EXPECT_EQ(rule->ToString(), text);
  }
  EXPECT_EQ(PublishRule::Parse("443/tcp")->ToString(), "443");
  EXPECT_EQ(PublishRule::Parse("80-80")->ToString(), "80");
}

TEST(PublishRule, RefusesWhatIsNone) {
  for (const char* text : {"", "0", "65536", "80-", "-80", "90-80", "0-9", "80/sctp", "53/UDP",
                           "/udp", "80 ", "1-2-3", "80udp", "+80"})
    EXPECT_FALSE(PublishRule::Parse(text)) << text;
  EXPECT_FALSE(PublishedPort::Parse("80-81"));
}

TEST(PublishRule, APortIsOfOneTransport) {
  const std::optional<std::vector<PublishRule>> some{
      {80, PublishRule(Transport::kUdp, 53, 53), PublishRule(Transport::kTcp, 1000, 1099)}};
  EXPECT_TRUE(MayPublish(some, {Transport::kTcp, 80}));
  EXPECT_FALSE(MayPublish(some, {Transport::kUdp, 80}));
  EXPECT_TRUE(MayPublish(some, {Transport::kUdp, 53}));
  EXPECT_FALSE(MayPublish(some, {Transport::kTcp, 53}));
  EXPECT_TRUE(MayPublish(some, {Transport::kTcp, 1000}));
  EXPECT_TRUE(MayPublish(some, {Transport::kTcp, 1099}));
  EXPECT_FALSE(MayPublish(some, {Transport::kTcp, 1100}));
  EXPECT_FALSE(MayPublish(some, {Transport::kTcp, 999}));
  EXPECT_TRUE(MayPublish(std::nullopt, {Transport::kUdp, 9}));
  EXPECT_FALSE(MayPublish(std::nullopt, {Transport::kUdp, 0}));
  EXPECT_FALSE(MayPublish(std::vector<PublishRule>{}, {Transport::kTcp, 80}));
}

}  // namespace
}  // namespace bailey
