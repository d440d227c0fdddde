// DenialListener: answers a tenant's denied system calls, counts them by the wall that they ran
// into, and has carried out what [allow] grants (supervisor/granted_calls.h). One for each
// listener: that of init, and that of each process that was entered, for as long as a task lives
// that inherited the filter. seccomp_unotify(2).
//
// A tenant that spams denied calls waits, not the supervisor: a turn of the loop answers a bounded
// number, and above a rate the tenant is left waiting for a while. Not thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/allow.h"
#include "supervisor/syscall_table.h"
#include "supervisor/tenant_filter.h"
#include "supervisor/tenant_sysinfo.h"

struct seccomp_notif;

namespace bailey::supervisor {

struct DenialContext {
  EventLoop* loop;
  CounterPage<SupervisorCounter>* counters;
  const TenantFilter* filter;  // the one that was loaded
  Allow allow;
  uint32_t uid_base;  // the tenant's root as the host sees it
  int init_pidfd;     // whose uts and network namespaces are the tenant's
  TenantSysinfo* sysinfo = nullptr;
};

class DenialListener {
 public:
  // Watches `listener` on the loop until the last task with its filter is gone; then `gone` is
  // called, in which the DenialListener may be destroyed. All of `context` outlives it.
  static Result<std::unique_ptr<DenialListener>> Start(const DenialContext& context,
                                                       UniqueFd listener,
                                                       std::function<void()> gone);
  ~DenialListener();
  DenialListener(const DenialListener&) = delete;
  DenialListener& operator=(const DenialListener&) = delete;

 private:
  using Clock = std::chrono::steady_clock;

  DenialListener(const DenialContext& context, UniqueFd listener, std::function<void()> gone);
  void OnEvent(uint32_t events);
  bool AnswerOne();
  void Answer(const seccomp_notif& call);
  void Count(const DeniedCall& row);
  bool OverRate();
  void Pause();

  DenialContext context_;
  UniqueFd listener_;
  std::function<void()> gone_;
  EventLoop::TimerId pause_ = 0;      // 0: not paused
  Clock::time_point window_start_{};  // of the rate
  unsigned in_window_ = 0;
  Clock::time_point last_log_{};
};

}  // namespace bailey::supervisor
