// Bandwidth: what one direction of a tenant's traffic may move, and whose turn it is. A bucket of
// bytes fills at the rate; a flow takes at most one share of it, and when the bucket is empty the
// flows stand in a line, each with one share a turn (deficit round robin with equal weights): ten
// downloads get a tenth each, whatever they are. Time that we lost ourselves is made up for while
// flows wait, so that a busy host does not cost the tenant bytes.
// Datagrams do not wait: what does not fit is dropped, as a router would. While streams wait they
// have half of the rate for themselves, and so have the streams.
// Runs on the loop's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>

#include "base/event_loop.h"

namespace bailey::netproxy {

// Bytes that have become due at a rate. No clock of its own.
class TokenBucket {
 public:
  using Clock = std::chrono::steady_clock;
  void SetRate(double bytes_per_second) { rate_ = bytes_per_second; }
  double rate() const { return rate_; }
  // What is due by `now`, at most `worth` of time.
  void Fill(Clock::time_point now, Clock::duration worth);
  double tokens() const { return tokens_; }
  void Spend(size_t bytes) { tokens_ -= static_cast<double>(bytes); }
  // How long until there are `tokens`.
  Clock::duration Until(double tokens) const;

 private:
  double rate_ = 0, tokens_ = 0;
  Clock::time_point filled_{};
};

class Bandwidth {
 public:
  static constexpr size_t kUnlimited = ~size_t{0};
  // A flow that waits: whatever Resume() knows it by. It owns `waits`.
  using Flow = void*;
  using Now = EventLoop::Clock::time_point (*)();

  // `resume(flow)`: its turn has come; it calls Grant() before that returns, or has nothing to
  // move. `waited()` counts one that had to wait, or a datagram that was dropped. `now`: the clock,
  // but for tests.
  Bandwidth(EventLoop& loop, std::function<void(Flow)> resume, std::function<void()> waited,
            Now now = EventLoop::Clock::now)
      : loop_(loop), resume_(std::move(resume)), waited_(std::move(waited)), now_(now) {}
  ~Bandwidth() { loop_.Cancel(timer_); }
  Bandwidth(const Bandwidth&) = delete;
  Bandwidth& operator=(const Bandwidth&) = delete;

  // Bytes a second; 0: no limit. At once for all, those that wait included.
  void SetRate(uint64_t bytes_per_second);
  // How much `flow` may read now; 0: it stands in the line, and `waits` is true until its turn.
  size_t Grant(Flow flow, bool& waits);
  // What it has read of that.
  void Spend(size_t bytes) { bucket_.Spend(bytes); }
  // Whether a datagram may go; if so, it is paid for.
  bool TakeDatagram(size_t bytes);
  // A flow that is gone while it waits.
  void Forget(Flow flow);

 private:
  struct Waiting {
    Flow flow;
    bool* waits;
  };
  void Fill();
  double Share() const;
  void ServeLater();
  void Serve();

  EventLoop& loop_;
  std::function<void(Flow)> resume_;
  std::function<void()> waited_;
  const Now now_;
  TokenBucket bucket_, datagrams_;
  std::deque<Waiting> line_;
  Flow served_ = nullptr;  // has its turn right now
  EventLoop::TimerId timer_ = 0;
};

}  // namespace bailey::netproxy
