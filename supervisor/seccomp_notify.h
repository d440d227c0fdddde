// DenialListener: answers a tenant's denied system calls, counts them by the wall that they ran
// into, and carries out the two that [allow] may grant (sethostname, raw sockets). One for each
// listener: that of init, and that of each process that was entered, for as long as a task lives
// that inherited the filter.
//
// A tenant that spams denied calls waits, not the supervisor: a turn answers a bounded number, and
// a tenant above the rate is left waiting for a while. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/allow.h"

namespace bailey::supervisor {

struct DenialContext {
  EventLoop* loop;
  CounterPage<SupervisorCounter>* counters;
  Allow allow;
  uint32_t uid_base;  // the tenant's root as the host sees it
  int init_pidfd;     // whose uts and network namespaces are the tenant's
};

class DenialListener {
 public:
  // Watches `listener` on the loop until the last task with its filter is gone; then `gone` is
  // called, from which the DenialListener may be destroyed. All of `context` outlives it.
  static Result<std::unique_ptr<DenialListener>> Start(const DenialContext& context,
                                                       UniqueFd listener,
                                                       std::function<void()> gone);
  ~DenialListener();
  DenialListener(const DenialListener&) = delete;
  DenialListener& operator=(const DenialListener&) = delete;

 private:
  DenialListener(const DenialContext& context, UniqueFd listener, std::function<void()> gone);
  void OnEvent(uint32_t events);
  void Pause();

  DenialContext context_;
  UniqueFd listener_;
  std::function<void()> gone_;
  EventLoop::TimerId pause_ = 0;
};

}  // namespace bailey::supervisor
