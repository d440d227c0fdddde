// Standing still and going on. The tenant's tasks are frozen in the v2 tree; its servers are not,
// so that a task in the middle of a file operation can reach a place where it may stand, and the
// host goes on seeing the root and the counters.
#include <utility>

#include "base/log.h"
#include "supervisor/tenant.h"

namespace bailey::supervisor {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPause{5};
constexpr milliseconds kPatience{10'000};

}  // namespace

Status Tenant::Suspend() {
  if (status_.state == TenantState::kSuspended || suspending_ != 0) return {};
  if (status_.state != TenantState::kRunning)
    return Errno("the tenant is " + std::string(TenantStateName(status_.state)), ESRCH)
        .WithHint("only a running tenant can be suspended");
  suspend_failure_.reset();
  BAILEY_TRY(StandStill(true));
  suspend_deadline_ = EventLoop::Clock::now() + kPatience;
  AwaitFrozen();
  return {};
}

// The proxy answers for the tenant from before it stands still, and until it goes on.
Status Tenant::StandStill(bool still) {
  if (proxy_ && still) proxy_->SetSuspended(true);
  Status done = cgroup_->Freeze(still);
  if (proxy_ && still != static_cast<bool>(done)) proxy_->SetSuspended(false);
  return done;
}

void Tenant::AwaitFrozen() {
  suspending_ = 0;
  if (cgroup_->HasFrozen()) return Enter(TenantState::kSuspended);
  if (EventLoop::Clock::now() >= suspend_deadline_)
    return GiveUpSuspending(
        Errno("a process of the tenant is in the middle of something", ETIMEDOUT)
            .WithHint("try again; bailey stop ends it whatever it does"));
  suspending_ = setup_.loop.After(kPause, [this] { AwaitFrozen(); });
}

void Tenant::GiveUpSuspending(Error error) {
  LogWarning("suspend: " + error.Message());
  suspend_failure_ = std::move(error);
  Thaw();
  changed_();
}

Status Tenant::Resume() {
  const bool suspended = status_.state == TenantState::kSuspended;
  if (!suspended && status_.state != TenantState::kRunning)
    return Errno("the tenant is " + std::string(TenantStateName(status_.state)), ESRCH);
  if (!suspended && suspending_ == 0) return {};
  BAILEY_TRY(StandStill(false));
  if (suspending_ != 0) {
    setup_.loop.Cancel(std::exchange(suspending_, 0));
    suspend_failure_ = Errno("the tenant was resumed meanwhile", ECANCELED);
    changed_();
  }
  if (!suspended) return {};
  Enter(TenantState::kRunning);
  OnIdle();  // its last process may have ended as it was frozen
  return {};
}

// Before what needs the tenant's processes to go on, whatever it has reached.
void Tenant::Thaw() {
  setup_.loop.Cancel(std::exchange(suspending_, 0));
  if (!cgroup_) return;
  if (const Status thawed = StandStill(false); !thawed)
    LogWarning("thaw: " + thawed.error().Message());
}

}  // namespace bailey::supervisor
