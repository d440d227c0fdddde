// DenialLog: what was refused, as lines of the log: protocol, both ends, and the wall or rule that
// refused. A sample: kBurst lines at once and kLinesPerSecond after that. How many were not logged
// is told with the next line, or by a line of its own when no other comes. Runs on the loop's
// thread, and does not wake it while everything is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/ip_address.h"

namespace bailey::netproxy {

struct Denial {
  std::string_view protocol;  // "tcp", "udp", "bind tcp"
  Endpoint from, to;          // port 0: not known yet
};

class DenialLog {
 public:
  static constexpr int kBurst = 10, kLinesPerSecond = 1;
  using Write = void (*)(std::string_view line);

  // `write` takes the lines: LogInfo, but for tests.
  explicit DenialLog(EventLoop& loop, Write write);
  ~DenialLog() { loop_.Cancel(timer_); }
  DenialLog(const DenialLog&) = delete;
  DenialLog& operator=(const DenialLog&) = delete;

  // `verdict()` is "private", "rule deny *:25", "limit connection_rate"; not called unless there is
  // a line for it.
  template <class Verdict>
  void Add(const Denial& denial, Verdict verdict) {
    if (!TakeLine()) return AddUnseen(1);
    WriteLine(denial, verdict());
  }
  // So many of which nothing is known but that they were.
  void AddUnseen(uint64_t count);

 private:
  bool TakeLine();
  void WriteLine(const Denial& denial, std::string_view verdict);
  void TellLater();
  std::string Unlogged();

  EventLoop& loop_;
  const Write write_;
  double lines_ = kBurst;
  EventLoop::Clock::time_point filled_;
  uint64_t unlogged_ = 0;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace bailey::netproxy
