// StartCommand: the tenant's start command over its lives, by way of bailey-init: run, told of its
// end, run again as the restart policy wants, with growing pauses. bailey-init is inside the
// tenant: nothing is taken from it but numbers. Not thread-safe.
#pragma once

#include <functional>
#include <optional>

#include "base/event_loop.h"
#include "base/result.h"
#include "supervisor/backoff.h"
#include "supervisor/exit_report.h"
#include "supervisor/init_protocol.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

class StartCommand {
 public:
  struct Events {
    std::function<void()> started;                  // the first time
    std::function<void(Error)> start_failed;        // the first time: there is no such program, say
    std::function<void(const ExitReport&)> exited;  // each time
    std::function<void()> restarted;
    std::function<void(Shutdown)> shutdown;  // somebody inside asks for it
    std::function<void()> idle;              // no child of init is left, for the moment or for good
    std::function<void(Error)> broken;       // init says what init never says
  };
  // OOM kills in the tenant since the last call.
  using OomKills = std::function<uint64_t()>;

  // `control` (LaunchedTenant's) is borrowed and must outlive this.
  StartCommand(EventLoop& loop, const ProcessSpec& spec, int control, OomKills oom_kills,
               Events events);
  ~StartCommand();
  StartCommand(const StartCommand&) = delete;
  StartCommand& operator=(const StartCommand&) = delete;

  // Asks for the first run.
  Status Run();
  // No more restarts; every process of the tenant gets `signal`, and init ends when all are gone.
  Status Stop(int signal);
  // It has ended and will not run again; what it left behind may still run.
  bool idle() const { return idle_; }

 private:
  void OnMessage();
  void Handle(const InitMessage& message);
  void OnStarted();
  void OnEnded(const ExitReport& exit);
  void Unwatch();

  EventLoop& loop_;
  const ProcessSpec& spec_;
  int control_;
  OomKills oom_kills_;
  Events events_;
  Backoff backoff_;
  EventLoop::Clock::time_point started_at_;
  EventLoop::TimerId restart_ = 0;
  bool watching_ = false, ran_before_ = false, stopping_ = false, idle_ = false;
};

}  // namespace bailey::supervisor
