#include "netproxy/bandwidth.h"

#include <algorithm>
#include <utility>

namespace bailey::netproxy {
namespace {

using std::chrono::milliseconds;
using Seconds = std::chrono::duration<double>;

// What may be saved up: while nobody waits, little, since it comes on top of the rate (0.5 % of
// ten seconds); while flows wait it is what our own lateness has cost them.
constexpr milliseconds kIdleWorth{50}, kBusyWorth{1000};
constexpr double kLeastShare = 1500, kMostShare = 256 * 1024;
constexpr double kShareOfSecond = 0.004;
constexpr milliseconds kSoonest{1};

}  // namespace

void TokenBucket::Fill(Clock::time_point now, Clock::duration worth) {
  const double most = std::max(rate_ * Seconds(worth).count(), kLeastShare);
  const double due = rate_ * Seconds(std::max(now - filled_, Clock::duration{})).count();
  tokens_ = std::min(tokens_ + due, std::max(most, tokens_));
  filled_ = now;
}

TokenBucket::Clock::duration TokenBucket::Until(double tokens) const {
  if (tokens_ >= tokens || rate_ <= 0) return {};
  return std::chrono::ceil<Clock::duration>(Seconds((tokens - tokens_) / rate_));
}

void Bandwidth::SetRate(uint64_t bytes_per_second) {
  if (static_cast<double>(bytes_per_second) == bucket_.rate()) return;
  bucket_ = datagrams_ = {};  // what was saved up at another rate is void
  bucket_.SetRate(static_cast<double>(bytes_per_second));
  datagrams_.SetRate(static_cast<double>(bytes_per_second) / 2);
  bucket_.Fill(now_(), {});
  datagrams_.Fill(now_(), {});
  if (!line_.empty()) ServeLater();
}

void Bandwidth::Fill() {
  const auto now = now_();
  bucket_.Fill(now, line_.empty() ? kIdleWorth : kBusyWorth);
  datagrams_.Fill(now, kIdleWorth);
}

double Bandwidth::Share() const {
  return std::clamp(bucket_.rate() * kShareOfSecond, kLeastShare, kMostShare);
}

size_t Bandwidth::Grant(Flow flow, bool& waits) {
  if (bucket_.rate() <= 0) return kUnlimited;
  if (waits) return 0;
  const bool has_turn = std::exchange(served_, nullptr) == flow;
  if (has_turn || line_.empty()) {
    Fill();
    // A whole share or none: not a byte at a time, as they become due.
    if (bucket_.tokens() >= Share()) return static_cast<size_t>(Share());
  }
  waits = true;
  line_.push_back({flow, &waits});
  waited_();
  if (timer_ == 0) ServeLater();
  return 0;
}

bool Bandwidth::TakeDatagram(size_t bytes) {
  if (bucket_.rate() <= 0) return true;
  Fill();
  if ((!line_.empty() || bucket_.tokens() <= 0) && datagrams_.tokens() <= 0) {
    waited_();
    return false;
  }
  bucket_.Spend(bytes);
  datagrams_.Spend(bytes);
  return true;
}

void Bandwidth::Forget(Flow flow) {
  std::erase_if(line_, [flow](const Waiting& each) { return each.flow == flow; });
}

void Bandwidth::ServeLater() {
  loop_.Cancel(timer_);
  const auto wait = std::max<EventLoop::Clock::duration>(bucket_.Until(Share()), kSoonest);
  timer_ = loop_.After(wait, [this] { Serve(); });
}

// One share for each, in turn, as long as there is something in the bucket.
void Bandwidth::Serve() {
  timer_ = 0;
  Fill();
  while (!line_.empty() && (bucket_.tokens() >= Share() || bucket_.rate() <= 0)) {
    const Waiting next = line_.front();
    line_.pop_front();
    *next.waits = false;
    served_ = next.flow;
    resume_(next.flow);
    served_ = nullptr;
  }
  if (!line_.empty() && timer_ == 0) ServeLater();
}

}  // namespace bailey::netproxy
