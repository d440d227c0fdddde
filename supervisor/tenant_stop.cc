// The end of a tenant: asked for, or because a part of it died, or because a stage of its start
// failed. All three take the same way:
//   1  init is asked to end everything inside (only when asked for, and only if all is well; who
//      asks may be the tenant itself)
//   2  what is left is killed, sessions are reaped; if it will not die, the file server is stuck:
//      FUSE is aborted
//   3  init is reaped, the console's last words are kept
//   4  the proxy and its listeners go, then the mount, then bailey-fs
//   5  SweepTenant takes whatever still has a name: address, cgroups, mount point
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/log.h"
#include "supervisor/fuse_mount.h"
#include "supervisor/tenant.h"
#include "supervisor/tenant_sweep.h"

namespace bailey::supervisor {
namespace {

constexpr std::chrono::milliseconds kAwaitKilled{2'000};

}  // namespace

void Tenant::Fail(Error error) {
  if (HasEnded(status_.state)) return;
  if (!status_.failure && teardown_ == 0) status_.failure = TenantFailure{stage_, std::move(error)};
  LogError(std::string(stage_) + ": " + (status_.failure ? status_.failure->error.Message() : ""));
  TearDownSoon();
}

void Tenant::Stop(std::optional<std::chrono::milliseconds> timeout) {
  if (HasEnded(status_.state)) {
    if (left_behind_) return TearDown();
    return changed_();
  }
  if (teardown_ != 0) return;  // coming
  Thaw();
  const bool running =
      status_.state == TenantState::kRunning || status_.state == TenantState::kSuspended;
  const bool stopping = status_.state == TenantState::kStopping;
  stage_ = "stop";
  if (!stopping) Enter(TenantState::kStopping);
  if (running) {
    const Status asked = command_->Stop(SIGTERM);
    if (!asked) return TearDownSoon();
  } else if (!stopping) {
    return TearDownSoon();  // was being prepared: nothing inside runs yet
  }
  // A second stop may shorten or lengthen the wait of the first.
  setup_.loop.Cancel(deadline_);
  deadline_ = setup_.loop.After(timeout.value_or(setup_.config.process.stop_timeout),
                                [this] { TearDown(); });
}

// Not from within a part that is about to be destroyed.
void Tenant::TearDownSoon() {
  if (teardown_ != 0) return;
  if (status_.state != TenantState::kStopping) Enter(TenantState::kStopping);
  teardown_ = setup_.loop.After(std::chrono::milliseconds(0), [this] { TearDown(); });
}

void Tenant::OnInitDeath() {
  setup_.loop.Unwatch(launched_->init_pidfd.get());
  int status = 0;
  while (::waitpid(launched_->init_pid, &status, 0) < 0 && errno == EINTR) {
  }
  launched_->init_pid = -1;
  status_.init_pid = 0;
  if (status_.state == TenantState::kStopping) return TearDownSoon();
  // How the kernel tells of reboot(2) inside: reboot_pid_ns(). Init has both blocked.
  if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGHUP || WTERMSIG(status) == SIGINT)) {
    status_.reboot = WTERMSIG(status) == SIGHUP;
    return TearDownSoon();
  }
  const ExitReport exit = ExplainExit(status, TakeOomKills());
  Fail(Invalid("bailey-init " + exit.ToString()));
}

// Asked for inside, by way of init: `reboot`, `poweroff`. Once: who asks again must not put the end
// off, nor fill the log.
void Tenant::OnShutdown(Shutdown how) {
  if (status_.state != TenantState::kRunning && status_.state != TenantState::kSuspended) return;
  LogInfo(how == Shutdown::kReboot ? "reboots" : "powers off");
  status_.reboot = how == Shutdown::kReboot;
  Stop(std::nullopt);
}

// The start command will not run again: when nothing else is left inside, the tenant has ended.
void Tenant::OnIdle() {
  if (status_.state != TenantState::kRunning || !command_ || !command_->idle()) return;
  if (!sessions_.empty() || cgroup_->TenantPids().size() > 1) return;
  const ExitReport exit = status_.last_exit.value_or(ExitReport());
  if (exit.Failed()) return Fail(Invalid("the start command " + exit.ToString()));
  TearDownSoon();
}

void Tenant::TearDown() {
  setup_.loop.Cancel(deadline_);
  setup_.loop.Cancel(teardown_);
  setup_.loop.Cancel(std::exchange(suspending_, 0));
  EndTasks();
  CloseParts();
  const Status swept = SweepTenant(setup_.host, setup_.config, setup_.runtime_dir);
  left_behind_.reset();
  if (!swept) {
    left_behind_ = swept.error();
    LogError("stop: left behind: " + swept.error().Message());
    if (!status_.failure) status_.failure = TenantFailure{"stop", swept.error()};
  }
  teardown_ = 0;
  status_.init_pid = 0;
  Enter(status_.failure ? TenantState::kFailed : TenantState::kStopped);
}

void Tenant::EndTasks() {
  if (!cgroup_) return;
  if (KilledInTime()) return;
  LogWarning("stop: tasks wait for the file server; it is cut off");
  if (const Status cut = UnmountFuse(RootMountPoint(setup_.runtime_dir)); !cut)
    LogWarning("stop: " + cut.error().Message());
  if (files_ && files_->machine() >= 0) (void)AbortFuseOf(files_->machine());
  if (!KilledInTime()) LogError("stop: tasks are left");
}

bool Tenant::KilledInTime() {
  if (const Status killed = cgroup_->KillTenant(); !killed)
    LogWarning("stop: " + killed.error().Message());
  // Init cannot end before the programs of sessions are reaped, which are our children.
  return ReapSessions() && cgroup_->AwaitTenantEmpty(kAwaitKilled).has_value();
}

bool Tenant::ReapSessions() {
  const auto deadline = EventLoop::Clock::now() + kAwaitKilled;
  bool all = true;
  for (const auto& session : sessions_) {
    const auto left = std::max(deadline - EventLoop::Clock::now(), EventLoop::Clock::duration());
    all = session->AwaitEnd(std::chrono::ceil<std::chrono::milliseconds>(left)) && all;
  }
  return all;
}

void Tenant::ReapInit() {
  if (!launched_ || launched_->init_pid <= 0) return;
  setup_.loop.Unwatch(launched_->init_pidfd.get());
  pollfd ended{launched_->init_pidfd.get(), POLLIN, 0};
  ::poll(&ended, 1, static_cast<int>(kAwaitKilled.count()));
  ::waitpid(launched_->init_pid, nullptr, WNOHANG);
  launched_->init_pid = -1;
}

void Tenant::CloseParts() {
  sessions_.clear();
  command_.reset();
  ReapInit();
  if (console_) console_->Drain();
  console_.reset();
  proxy_.reset();
  tls_.reset();
  if (const Status unmounted = UnmountFuse(RootMountPoint(setup_.runtime_dir)); !unmounted)
    LogWarning("stop: " + unmounted.error().Message());
  if (files_) files_->Stop();
  files_.reset();
  setup_.loop.Cancel(store_count_);
  store_.reset();
  denials_.clear();
  launched_.reset();
  cgroup_.reset();
}

}  // namespace bailey::supervisor
