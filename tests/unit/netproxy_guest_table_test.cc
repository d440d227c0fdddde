#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "netproxy/guest_table.h"

namespace bailey::netproxy {
namespace {

using std::chrono::seconds;

Endpoint At(const std::string& address, uint16_t port) {
  return {*IpAddress::Parse(address), port};
}

class GuestTableTest : public testing::Test {
 protected:
  Guest* Add(uint16_t port, const Endpoint& real) { return Add(port, real, real); }
  Guest* Add(uint16_t port, const Endpoint& real, const Endpoint& seen) {
    bool evicted = false;
    Guest* guest = table_.Add({.port = port, .real = real, .seen = seen}, now_, &evicted);
    evictions_ += evicted ? 1 : 0;
    return guest;
  }

  std::vector<Endpoint> left_;
  int evictions_ = 0;
  GuestTable::Clock::time_point now_{seconds(1000)};
  GuestTable table_{3, [this](const Guest& guest) { left_.push_back(guest.real); }};
  const Endpoint a_ = At("192.0.2.1", 1), b_ = At("192.0.2.2", 2), c_ = At("192.0.2.3", 3),
                 d_ = At("192.0.2.4", 4);
};

TEST_F(GuestTableTest, IsFoundByBothOfItsAddresses) {
  Guest* guest = Add(53, At("127.0.0.1", 1), At("192.0.0.8", 1));
  EXPECT_EQ(table_.FindReal(53, At("127.0.0.1", 1)), guest);
  EXPECT_EQ(table_.FindSeen(53, At("192.0.0.8", 1)), guest);
  EXPECT_EQ(table_.FindReal(54, At("127.0.0.1", 1)), nullptr);
  EXPECT_EQ(table_.FindSeen(53, At("127.0.0.1", 1)), nullptr);
}

TEST_F(GuestTableTest, LeavesAfterThirtySecondsOrThreeMinutesOnceAnswered) {
  Guest* one = Add(53, a_);
  Guest* two = Add(53, b_);
  table_.Came(one, now_);
  table_.Came(two, now_);
  table_.Went(two, now_);
  table_.Expire(now_ + seconds(30));
  EXPECT_EQ(table_.size(), 2U);
  table_.Expire(now_ + seconds(31));
  EXPECT_EQ(left_, std::vector{a_});
  table_.Expire(now_ + seconds(180));
  EXPECT_EQ(table_.size(), 1U);
  table_.Expire(now_ + seconds(181));
  EXPECT_EQ(left_, (std::vector{a_, b_}));
}

TEST_F(GuestTableTest, UseKeepsIt) {
  Guest* used = Add(53, a_);
  Add(53, b_);
  now_ += seconds(20);
  EXPECT_EQ(table_.Take(used, 3, now_), 3U);
  table_.FindReal(53, b_);
  table_.Expire(now_ + seconds(15));
  EXPECT_EQ(left_, std::vector{b_});
}

// Its datagrams may have been forged by somebody else: what is sent to it must not keep it.
TEST_F(GuestTableTest, WhoIsDeniedStaysOnlyWhileItComes) {
  Guest* denied = Add(53, a_);
  denied->standing = Standing::kAnswered;
  table_.Came(denied, now_);
  now_ += seconds(20);
  EXPECT_EQ(table_.Take(denied, 1, now_), 1U);
  table_.Expire(now_ + seconds(10));
  EXPECT_EQ(table_.size(), 1U);
  table_.Came(denied, now_ + seconds(10));
  table_.Expire(now_ + seconds(190));
  EXPECT_EQ(table_.size(), 1U);
  now_ += seconds(191);
  table_.Take(denied, 1, now_);
  table_.Expire(now_);
  EXPECT_EQ(left_, std::vector{a_});
}

TEST_F(GuestTableTest, EachDatagramOfWhoIsDeniedEarnsItAFewAnswers) {
  Guest* denied = Add(53, a_);
  denied->standing = Standing::kAnswered;
  EXPECT_EQ(table_.Take(denied, 1, now_), 0U);
  table_.Came(denied, now_);
  EXPECT_EQ(table_.Take(denied, 10, now_), 10U);
  EXPECT_EQ(table_.Take(denied, 10, now_), GuestTable::kAnswersForOne - 10);
  EXPECT_EQ(table_.Take(denied, 10, now_), 0U);
  for (int i = 0; i < 1000; ++i) table_.Came(denied, now_);
  EXPECT_EQ(table_.Take(denied, 100'000, now_), GuestTable::kMostAnswers);
  denied->standing = Standing::kUnanswered;
  table_.Came(denied, now_);
  EXPECT_EQ(table_.Take(denied, 1, now_), 0U);
}

TEST_F(GuestTableTest, ForgetsWithoutAWord) {
  Add(53, a_);
  table_.Forget();
  EXPECT_EQ(table_.size(), 0U);
  EXPECT_TRUE(left_.empty());
  EXPECT_EQ(table_.FindReal(53, a_), nullptr);
}

TEST_F(GuestTableTest, AFloodOfStrangersDoesNotCostARealGuestItsPlace) {
  Guest* real = Add(53, a_);
  table_.Came(real, now_);
  table_.Went(real, now_);
  Add(53, b_);
  Add(53, c_);
  for (uint16_t port = 1; port <= 100; ++port) Add(53, At("198.51.100.1", port));
  EXPECT_EQ(evictions_, 100);
  EXPECT_EQ(table_.size(), 3U);
  EXPECT_EQ(table_.FindReal(53, a_), real);
  EXPECT_EQ(left_.front(), b_);
}

TEST_F(GuestTableTest, AmongRealGuestsTheLeastRecentLeaves) {
  for (const Endpoint& each : {a_, b_, c_}) {
    Guest* guest = Add(53, each);
    table_.Came(guest, now_);
    table_.Went(guest, now_);
  }
  table_.Went(table_.FindSeen(53, a_), now_);
  Add(53, d_);
  EXPECT_EQ(left_, std::vector{b_});
}

TEST_F(GuestTableTest, ThoseOfAPortLeaveWithIt) {
  Add(53, a_);
  Add(54, a_);
  table_.RemoveIf([](const Guest& guest) { return guest.port == 53; });
  EXPECT_EQ(table_.size(), 1U);
  EXPECT_NE(table_.FindReal(54, a_), nullptr);
}

}  // namespace
}  // namespace bailey::netproxy
