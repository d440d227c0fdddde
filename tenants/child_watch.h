// ChildWatch: waits for the end of a child of ours without making the loop wait, and reaps it.
#pragma once

#include <functional>
#include <memory>

#include "base/child_process.h"
#include "base/event_loop.h"

namespace bailey::tenants {

class ChildWatch {
 public:
  // `ended` gets the status of waitpid(2); it may destroy this.
  using Ended = std::function<void(int status)>;
  static Result<std::unique_ptr<ChildWatch>> Start(EventLoop& loop, Child child, Ended ended);
  // A child that still runs is left alone, to be reaped by whoever reaps ours (init, in the end).
  ~ChildWatch();
  ChildWatch(const ChildWatch&) = delete;
  ChildWatch& operator=(const ChildWatch&) = delete;

  pid_t pid() const { return child_.pid; }
  void Signal(int signal) const;

 private:
  ChildWatch(EventLoop& loop, Child child, Ended ended)
      : loop_(loop), child_(std::move(child)), ended_(std::move(ended)) {}
  void OnEnd();
  EventLoop& loop_;
  Child child_;
  Ended ended_;
};

// "exit status 1", "signal 9 (Killed)".
std::string DescribeStatus(int status);

}  // namespace bailey::tenants
