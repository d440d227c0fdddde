#include <gtest/gtest.h>

#include "base/load_averages.h"

namespace bailey {
namespace {

constexpr uint64_t kSecond = 1'000'000;

TEST(LoadAverages, ApproachTheLoadAndForgetIt) {
  LoadAverages load;
  for (uint64_t at = 5; at <= 60; at += 5)
    load.Advance({.at = at * kSecond, .running = at * kSecond, .waiting = at * kSecond});
  EXPECT_NEAR(load.values()[0], 2 * (1 - 0.3679), 0.01);  // 1 - 1/e of 2
  EXPECT_NEAR(load.running(), 2, 0.01);
  EXPECT_FALSE(load.quiet());
  load.Advance({.at = 4000 * kSecond, .running = 60 * kSecond, .waiting = 60 * kSecond});
  EXPECT_LT(load.values()[0], 0.01);
  for (uint64_t at = 5000; at < 12'000; at += 1000)
    load.Advance({.at = at * kSecond, .running = 60 * kSecond, .waiting = 60 * kSecond});
  EXPECT_TRUE(load.quiet());
}

TEST(LoadAverages, IntervalsBelowASecondAreAddedUp) {
  LoadAverages load;
  load.Advance({.at = kSecond / 2, .running = kSecond / 2});
  EXPECT_EQ(load.running(), 0);
  load.Advance({.at = 2 * kSecond, .running = kSecond, .blocked = kSecond});
  EXPECT_NEAR(load.running(), 0.5, 1e-6);
  EXPECT_NEAR(load.blocked(), 0.5, 1e-6);
}

}  // namespace
}  // namespace bailey
