// Tenant: the life of one tenant in one supervisor, from defined to stopped or failed. Starts stage
// by stage (tenant_start.cc), stops and rolls back in one way (tenant_stop.cc), stands still
// (tenant_suspend.cc), and holds every descriptor that must outlive a server's crash. All of it
// runs on the loop's thread; what cannot be done at once is told by `changed`. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/allow.h"
#include "supervisor/cgroup_host.h"
#include "supervisor/console_log.h"
#include "supervisor/control_request.h"
#include "supervisor/exec_session.h"
#include "supervisor/file_server.h"
#include "supervisor/net_proxy.h"
#include "supervisor/seccomp_notify.h"
#include "supervisor/start_command.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_config.h"
#include "supervisor/tenant_counters.h"
#include "supervisor/tenant_filter.h"
#include "supervisor/tenant_launch.h"
#include "supervisor/tenant_state.h"
#include "supervisor/tenant_store.h"
#include "supervisor/tls_process.h"

namespace bailey::supervisor {

class Tenant {
 public:
  struct Setup {
    EventLoop& loop;
    const CgroupHost& host;
    TenantConfig config;
    std::string runtime_dir;
    TenantCounters counters;
  };

  // `changed` is called after each change of the state, from the loop.
  Tenant(Setup setup, std::function<void()> changed);
  ~Tenant();
  Tenant(const Tenant&) = delete;
  Tenant& operator=(const Tenant&) = delete;

  // Once. What goes wrong shows in the status, after all of it has been undone.
  void Start();
  // In any state and as often as one likes. `timeout`: how long the tenant's processes may take to
  // end by themselves; none: the configuration's.
  void Stop(std::optional<std::chrono::milliseconds> timeout);

  // Freezes every process of the tenant; its servers go on. The state is `suspended` once all of
  // them stand still; until then IsSuspending(), and if one does not within some seconds, all go on
  // and SuspendFailure() says why. ESRCH unless it runs.
  Status Suspend();
  // A fresh proxy takes over, without a refused connection; done once IsRestartingProxy() is false.
  Status RestartProxy();
  bool IsRestartingProxy() const { return proxy_ && proxy_->IsRestarting(); }
  bool IsSuspending() const { return suspending_ != 0; }
  const std::optional<Error>& SuspendFailure() const { return suspend_failure_; }
  // Whatever Suspend() has reached is undone. ESRCH unless it runs or is suspended.
  Status Resume();

  const TenantStatus& status() const { return status_; }
  // What the last stop could not take away; another Stop() tries again.
  const std::optional<Error>& left_behind() const { return left_behind_; }
  std::vector<int> CounterPages() const;
  // `fds`: the session socket, and the program where the request announces one.
  Result<pid_t> Exec(const ExecRequest& request, std::vector<UniqueFd> fds);
  // Limits as the kernel holds them afterwards. Nothing has changed if it fails.
  Result<Limits> Set(const SetRequest& request);

 private:
  // tenant_start.cc: the stages. Each ends by the next, from the loop; a failure goes to Fail().
  void PrepareGroups();
  void PrepareRoot();
  void RaiseWalls();
  void StartNetwork();
  void OpenTheGate();
  void OnStarted();
  Status MakeGroups();
  Status OpenStore();
  Status MakeRoot();
  Status MakeWalls();
  Status MakeNetwork();
  Status RunInit();
  // Begins a stage: its work, now, and what it waits for within the deadline.
  void Stage(const char* name, Status (Tenant::*work)());

  // tenant_stop.cc
  void Fail(Error error);
  void OnInitDeath();
  void OnShutdown(Shutdown how);
  void OnIdle();
  void TearDownSoon();
  void TearDown();
  void EndTasks();
  bool KilledInTime();
  bool ReapSessions();
  void ReapInit();
  void CloseParts();

  // tenant_suspend.cc
  Status StandStill(bool still);
  void AwaitFrozen();
  void GiveUpSuspending(Error error);
  void Thaw();

  void Enter(TenantState state);
  uint64_t TakeOomKills();
  // What the store uses, for the counters; again and again while it is an image.
  void CountStore();
  Status Hold(const Limits& limits);
  Status SpreadProcessors();
  void WatchDenials(UniqueFd listener);
  void OnSessionEnd(ExecSession& session, const ExitReport& exit);
  std::string Program(const char* name) const;
  CounterPage<SupervisorCounter>& own() { return *setup_.counters.own_page.get(); }

  Setup setup_;
  std::function<void()> changed_;
  TenantStatus status_;
  std::optional<Error> left_behind_;
  const char* stage_ = "";
  EventLoop::Clock::time_point began_at_;
  std::chrono::nanoseconds booted_{0};  // CLOCK_BOOTTIME that is 0 inside
  EventLoop::TimerId deadline_ = 0, teardown_ = 0, store_count_ = 0;
  EventLoop::TimerId suspending_ = 0;  // the next look whether all stand still
  EventLoop::Clock::time_point suspend_deadline_;
  std::optional<Error> suspend_failure_;
  uint64_t oom_kills_ = 0;

  // Made in this order, taken down in the reverse.
  Allow allow_;
  std::optional<TenantCgroup> cgroup_;
  std::optional<TenantFilter> filter_;
  UniqueFd init_program_;
  std::unique_ptr<ConsoleLog> console_;
  std::optional<TenantStore> store_;
  std::unique_ptr<FileServer> files_;
  std::optional<LaunchedTenant> launched_;
  std::optional<TenantSysinfo> sysinfo_;
  std::unique_ptr<TlsProcess> tls_;
  std::unique_ptr<NetProxy> proxy_;
  std::unique_ptr<StartCommand> command_;
  std::vector<std::unique_ptr<DenialListener>> denials_;
  std::vector<std::unique_ptr<ExecSession>> sessions_;
};

}  // namespace bailey::supervisor
