// EventLoop: a single-threaded epoll loop, for the processes that must stay tiny (supervisor,
// netproxy). Handlers run on the loop's thread, one at a time. A handler may add, change and
// remove any watch, its own included. Not thread-safe.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

class EventLoop {
 public:
  using Handler = std::function<void(uint32_t events)>;  // EPOLLIN, EPOLLHUP, …
  using Clock = std::chrono::steady_clock;
  using TimerId = uint64_t;

  static Result<EventLoop> Create();
  EventLoop(EventLoop&&) = default;
  EventLoop& operator=(EventLoop&&) = default;

  // Watches `fd`, which stays the caller's and must be unwatched before it is closed.
  Status Watch(int fd, uint32_t events, Handler handler);
  Status Change(int fd, uint32_t events);
  void Unwatch(int fd);

  TimerId After(Clock::duration delay, std::function<void()> action);
  void Cancel(TimerId id);  // a timer that has run or never was: nothing happens

  // Runs until Stop(). Sleeps without a timeout when no timer is set: an idle process never wakes.
  void Run();
  void Stop() { running_ = false; }
  // One epoll_wait and its handlers; for tests and for loops within loops.
  void RunOnce(Clock::duration at_most);

 private:
  explicit EventLoop(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  int NextTimeout(Clock::time_point now) const;
  void RunTimers();
  void WaitAndDispatch(int timeout_ms);

  struct Watcher {
    Handler handler;
    uint64_t generation;  // an event queued for a closed and reused fd number is stale
  };
  UniqueFd epoll_;
  bool running_ = false;
  uint64_t next_id_ = 1;
  std::unordered_map<int, std::shared_ptr<Watcher>> watchers_;
  std::map<std::pair<Clock::time_point, TimerId>, std::function<void()>> timers_;
};

}  // namespace bailey
