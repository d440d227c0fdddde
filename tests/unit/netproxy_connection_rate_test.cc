#include <gtest/gtest.h>

#include "netproxy/connection_rate.h"

namespace bailey::netproxy {
namespace {

using namespace std::chrono_literals;
using Clock = ConnectionRate::Clock;
using Verdict = ConnectionRate::Verdict;

const Clock::time_point kStart{1h};
const IpAddress kHere = IpAddress::V4(0xcb007101), kThere = IpAddress::V4(0xcb007102);

TEST(ConnectionRate, DelaysNothingWithoutALimit) {
  ConnectionRate rate;
  for (int i = 0; i < 10'000; ++i) EXPECT_EQ(rate.Reserve(kStart, kHere).delay, 0ns);
  EXPECT_EQ(rate.remembered(), 0u);
}

TEST(ConnectionRate, LetsABurstGoThenSpreadsThenRefuses) {
  ConnectionRate rate;
  rate.SetRates(100, 0);
  int at_once = 0, delayed = 0, refused = 0;
  Clock::duration last{};
  for (int i = 0; i < 200; ++i) {
    const auto turn = rate.Reserve(kStart, kHere);
    if (turn.verdict == Verdict::kTooMany) {
      ++refused;
    } else if (turn.delay == 0ns) {
      ++at_once;
    } else {
      ++delayed;
      EXPECT_EQ(turn.delay - last, 10ms);
      last = turn.delay;
    }
  }
  EXPECT_EQ(at_once, 11);   // 100 ms' worth, and the one that is due now
  EXPECT_EQ(delayed, 100);  // a second's worth
  EXPECT_EQ(refused, 89);
}

TEST(ConnectionRate, HoldsOverTime) {
  ConnectionRate rate;
  rate.SetRates(50, 0);
  int admitted = 0;
  for (auto now = kStart; now < kStart + 60s; now += 1ms)
    if (rate.Reserve(now).verdict == Verdict::kAdmitted) ++admitted;
  EXPECT_NEAR(admitted, 50 * 60, 60);
}

TEST(ConnectionRate, CountsEachDestinationByItself) {
  ConnectionRate rate;
  rate.SetRates(0, 10);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(rate.Reserve(kStart, kHere).verdict, Verdict::kAdmitted);
  EXPECT_EQ(rate.Reserve(kStart, kHere).verdict, Verdict::kTooManyToDestination);
  EXPECT_EQ(rate.Reserve(kStart, kThere).delay, 0ns);
  EXPECT_EQ(rate.Reserve(kStart).delay, 0ns);  // one that comes in
}

// What the one refuses must not cost a place in the line of the other.
TEST(ConnectionRate, ARefusedOneTakesNoPlace) {
  ConnectionRate rate;
  rate.SetRates(100, 1);
  for (int i = 0; i < 1000; ++i) rate.Reserve(kStart, kHere);
  EXPECT_EQ(rate.Reserve(kStart, kThere).delay, 0ns);
  rate.SetRates(1, 1000);
  for (int i = 0; i < 1000; ++i) rate.Reserve(kStart + 10s, kThere);
  rate.SetRates(0, 1000);
  EXPECT_EQ(rate.Reserve(kStart + 10s, kThere).delay, 0ns);
}

TEST(ConnectionRate, ForgetsIdleDestinations) {
  ConnectionRate rate;
  rate.SetRates(0, 10);
  for (uint32_t i = 0; i < 100'000; ++i) rate.Reserve(kStart + i * 1ms, IpAddress::V4(i));
  EXPECT_LT(rate.remembered(), 2500u);
}

TEST(ConnectionRate, IsChangedAtOnce) {
  ConnectionRate rate;
  rate.SetRates(1, 0);
  for (int i = 0; i < 10; ++i) rate.Reserve(kStart);
  EXPECT_EQ(rate.Reserve(kStart).verdict, Verdict::kTooMany);
  rate.SetRates(0, 0);
  EXPECT_EQ(rate.Reserve(kStart).delay, 0ns);
}

}  // namespace
}  // namespace bailey::netproxy
