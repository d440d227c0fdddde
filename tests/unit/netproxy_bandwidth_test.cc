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

// Flows that always want more, on a real loop.
struct Line {
  EventLoop loop = *EventLoop::Create();
  std::map<int*, size_t> moved;
  std::map<int*, bool> waits;
  Bandwidth bandwidth{loop, [this](Bandwidth::Flow flow) { Move(static_cast<int*>(flow)); }, [] {}};

  void Move(int* flow) {
    while (const size_t granted = bandwidth.Grant(flow, waits[flow])) {
      const size_t bytes = std::min<size_t>(granted, 65536);
      bandwidth.Spend(bytes);
      moved[flow] += bytes;
      if (granted == Bandwidth::kUnlimited) return;
    }
  }
  void RunFor(Clock::duration time) {
    for (const auto end = Clock::now() + time; Clock::now() < end;) loop.RunOnce(10ms);
  }
};

TEST(Bandwidth, IsSharedEvenly) {
  Line line;
  line.bandwidth.SetRate(4'000'000);
  std::array<int, 4> flows{};
  for (int& flow : flows) line.Move(&flow);
  const auto begun = Clock::now();
  line.RunFor(1s);
  const double took = std::chrono::duration<double>(Clock::now() - begun).count();
  size_t all = 0;
  for (int& flow : flows) all += line.moved[&flow];
  EXPECT_NEAR(static_cast<double>(all), 4'000'000 * took, 4'000'000 * 0.05);
  for (int& flow : flows)
    EXPECT_NEAR(static_cast<double>(line.moved[&flow]), static_cast<double>(all) / 4, 40'000);
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
  for (const auto end = Clock::now() + 1s; Clock::now() < end; line.loop.RunOnce(1ms))
    for (int i = 0; i < 20; ++i)
      if (line.bandwidth.TakeDatagram(1000)) datagrams += 1000;
  EXPECT_NEAR(static_cast<double>(datagrams), 1'000'000, 150'000);
  EXPECT_NEAR(static_cast<double>(line.moved[&flow]), 1'000'000, 200'000);
}

}  // namespace
}  // namespace bailey::netproxy
