// Background: slow work (removing a tenant's files) on a thread of its own, and its outcome back on
// the loop. Jobs run one after another.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::tenants {

class Background {
 public:
  using Job = std::function<Status()>;              // on the thread; touches nothing of the loop's
  using Done = std::function<void(const Status&)>;  // on the loop

  static Result<std::unique_ptr<Background>> Create(EventLoop& loop);
  // Waits for the job that runs; those that have not begun are dropped.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void Run(Job job, Done done);

 private:
  Background(EventLoop& loop, UniqueFd wake) : loop_(loop), wake_(std::move(wake)) {}
  void Work();
  void Deliver();

  struct Task {
    Job job;
    Done done;
    Status outcome;
  };
  EventLoop& loop_;
  UniqueFd wake_;  // eventfd: something is in finished_
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Task> waiting_;
  std::vector<Task> finished_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace bailey::tenants
