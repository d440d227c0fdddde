#include <gtest/gtest.h>

#include <map>

#include "netproxy/bandwidth.h"

namespace bailey::netproxy {
namespace {

using namespace std::chrono_literals;
using Clock = TokenBucket::Clock;

const Clock::time_point kStart{1h};

TEST(TokenBucket, FillsAtItsRateUpToItsWorth) {
  TokenBucket bucket;
  bucket.SetRate(1'000'000);
  bucket.Fill(kStart, 0ms);
  bucket.Spend(static_cast<size_t>(bucket.tokens()));
  bucket.Fill(kStart + 20ms, 50ms);
  EXPECT_NEAR(bucket.tokens(), 20'000, 1);
  bucket.Fill(kStart + 10s, 50ms);
  EXPECT_NEAR(bucket.tokens(), 50'000, 1);
  bucket.Spend(60'000);  // a debt
  EXPECT_NEAR(std::chrono::duration<double>(bucket.Until(5'000)).count(), 0.015, 1e-6);
}

// What was saved up under a larger bound is not taken away by a smaller one.
TEST(TokenBucket, KeepsWhatItHas) {
  TokenBucket bucket;
  bucket.SetRate(1'000'000);
  bucket.Fill(kStart, 1s);
  bucket.Fill(kStart + 1ms, 50ms);
  EXPECT_NEAR(bucket.tokens(), 1'000'000, 1);
}

// Flows that always want more, on a real loop, whose timers say only when they may move: how much,
// a clock says that the test moves on.
Clock::time_point now = kStart;
struct Line {
  EventLoop loop = *EventLoop::Create();
  std::map<int*, size_t> moved;
  std::map<int*, bool> waits;
  Bandwidth bandwidth{loop, [this](Bandwidth::Flow flow) { Move(static_cast<int*>(flow)); }, [] {},
                      [] { return now; }};

  void Move(int* flow) {
    while (const size_t granted = bandwidth.Grant(flow, waits[flow])) {
      const size_t bytes = std::min<size_t>(granted, 65536);
      bandwidth.Spend(bytes);
      moved[flow] += bytes;
      if (granted == Bandwidth::kUnlimited) return;
    }
  }
  // `each` in every millisecond of it.
  void RunFor(
      Clock::duration time, const std::function<void()>& each = [] {}) {
    for (const auto end = now + time; now < end; now += 1ms) {
      loop.RunOnce(1ms);
      each();
    }
    for (int i = 0; i < 10; ++i) loop.RunOnce(5ms);  // those whose turn it is by now
  }
};

TEST(Bandwidth, IsSharedEvenly) {
  Line line;
  line.bandwidth.SetRate(4'000'000);
  std::array<int, 4> flows{};
  for (int& flow : flows) line.Move(&flow);
  line.RunFor(1s);
  size_t all = 0;
  for (int& flow : flows) all += line.moved[&flow];
  EXPECT_NEAR(static_cast<double>(all), 4'000'000, 20'000);  // a share is 16,000
  for (int& flow : flows)
    EXPECT_NEAR(static_cast<double>(line.moved[&flow]), static_cast<double>(all) / 4, 20'000);
}

TEST(Bandwidth, LetsThoseWhoWaitGoWhenTheLimitIsLifted) {
  Line line;
  line.bandwidth.SetRate(4096);
  int flow = 0, other = 0;
  line.Move(&flow);
  line.Move(&other);
  line.bandwidth.SetRate(0);
  line.loop.RunOnce(1s);
  EXPECT_FALSE(line.waits[&flow] || line.waits[&other]);
  EXPECT_TRUE(line.bandwidth.TakeDatagram(65535));
}

TEST(Bandwidth, TheSameRateAgainPaysNoDebt) {
  Line line;
  line.bandwidth.SetRate(4096);
  while (line.bandwidth.TakeDatagram(100'000)) {
  }
  line.bandwidth.SetRate(4096);
  EXPECT_FALSE(line.bandwidth.TakeDatagram(1));
  line.bandwidth.SetRate(4097);
  EXPECT_TRUE(line.bandwidth.TakeDatagram(1));
}

TEST(Bandwidth, ForgetsAFlowThatIsGone) {
  Line line;
  line.bandwidth.SetRate(1'000'000);
  int flow = 0;
  line.Move(&flow);
  line.bandwidth.Forget(&flow);
  const size_t moved = line.moved[&flow];
  line.RunFor(100ms);
  EXPECT_EQ(line.moved[&flow], moved);
}

TEST(Bandwidth, GivesDatagramsHalfWhileStreamsWait) {
  Line line;
  line.bandwidth.SetRate(2'000'000);
  int flow = 0;
  line.Move(&flow);
  size_t datagrams = 0;
  line.RunFor(1s, [&] {
    for (int i = 0; i < 20; ++i)
      if (line.bandwidth.TakeDatagram(1000)) datagrams += 1000;
  });
  EXPECT_NEAR(static_cast<double>(datagrams), 1'000'000, 20'000);
  EXPECT_NEAR(static_cast<double>(line.moved[&flow]), 1'000'000, 40'000);
}

}  // namespace
}  // namespace bailey::netproxy
