// Tenant: from running to nothing left, whoever ended it.
#include <csignal>
#include <utility>

#include "base/log.h"
#include "base/syscalls.h"
#include "tenants/supervisor_process.h"
#include "tenants/tenant.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Beside the tenant's own stop_timeout: a stuck file server takes the supervisor some seconds.
constexpr milliseconds kTeardownPatience{30'000};
constexpr seconds kGonePatience{5};
// A tenant that ran this long before it broke is started again at once.
constexpr double kSteadySeconds = 60;

}  // namespace

ApiStatus Tenant::BeginStop() {
  TenantRecord intent = record_;
  intent.should_run = false;
  intent.state = TenantState::kStopping;
  if (ApiStatus saved = SaveIntent(std::move(intent)); !saved) return saved;
  failure_.reset();
  Dismiss();
  return {};
}

// A failed tenant has nothing left as a rule; this makes sure.
ApiStatus Tenant::BeginClear() {
  TenantRecord intent = record_;
  intent.should_run = false;
  intent.state = TenantState::kStopping;
  intent.error.reset();
  if (ApiStatus saved = SaveIntent(std::move(intent)); !saved) return saved;
  failure_.reset();
  Clear();
  return {};
}

// The tenant has ended by itself. Its supervisor waits to be told to go.
void Tenant::OnEnded(const ApiResult<SupervisorAnswer>& answer) {
  if (dismissing_ || !supervisor_) return;
  if (!answer) {
    if (answer.error().layer == "supervisor") return;  // it is about to be gone itself
    failure_ = answer.error();
  }
  const json::value* reboot = answer ? answer->body.if_contains("reboot") : nullptr;
  keep_trying_ = reboot != nullptr && reboot->is_bool() && reboot->get_bool();
  if (keep_trying_) {
    Note("rebooted", "by itself");
    if (UnixNow() - record_.started_at > kSteadySeconds) retry_pause_ = seconds(0);
  }
  record_.should_run = keep_trying_;
  Dismiss();
}

void Tenant::Dismiss() {
  dismissing_ = true;
  if (IsUp()) {
    record_.state = TenantState::kStopping;
    record_.state_since = UnixNow();
    Save();
  }
  const milliseconds own = *effective_.stop_timeout;
  life_.Ask({{"op", "stop"}, {"timeoutMs", own.count()}}, {}, own + kTeardownPatience,
            [this](const auto& answer) {
              OnDismissed(answer ? ApiStatus() : ApiStatus(answer.error()));
            });
}

void Tenant::OnDismissed(const ApiStatus& stopped) {
  gone_cleanly_ = stopped.has_value();
  if (!supervisor_) return FinishDismissal();
  const auto kill = [this] {
    LogWarning(name() + ": its supervisor is killed");
    gone_cleanly_ = false;
    sys::PidfdSendSignal(supervisor_.get(), SIGKILL);
  };
  if (stopped) {
    last_resort_ = context_.loop.After(kGonePatience, kill);
    return;
  }
  LogWarning(name() + ": not stopped cleanly: " + stopped.error().message);
  kill();
}

void Tenant::OnSupervisorGone() {
  context_.loop.Cancel(last_resort_);
  context_.loop.Unwatch(supervisor_.get());
  supervisor_.Reset();
  supervisor_pid_ = -1;
  // Its answer and its end arrive in any order.
  if (dismissing_) {
    if (gone_cleanly_) FinishDismissal();
    return;
  }
  // Whoever suspended it did not want it to run again from its beginning.
  if (Runs()) keep_trying_ = record_.should_run;
  if (Runs() && UnixNow() - record_.started_at > kSteadySeconds) retry_pause_ = seconds(0);
  failure_ = ApiError{ApiCode::kFailed, "its supervisor ended unexpectedly", name(), "supervisor",
                      "the end of " + context_.host.paths.TenantRuntime(name()) +
                          "/supervisor.log may say why; bailey start " + name()};
  record_.state = TenantState::kStopping;
  record_.state_since = UnixNow();
  Save();
  Clear();
}

void Tenant::FinishDismissal() {
  if (*gone_cleanly_) return Settle();
  Clear();
}

void Tenant::Clear() {
  life_.Forget();
  requests_.Abandon();
  auto runner = RunSupervisor(
      context_.loop, SupervisorTask::kClear, MakeClearingConfig(context_.host, record_),
      context_.host.paths.TenantRuntime(name()), [this](const ApiStatus& cleared) {
        if (!cleared && !failure_) failure_ = cleared.error();
        if (!cleared) LogError(name() + ": not cleared: " + cleared.error().message);
        runner_.reset();
        Settle();
      });
  if (runner) {
    runner_ = std::move(*runner);
    return;
  }
  LogError(name() + ": not cleared: " + runner.error().Message());
  context_.loop.After({}, [self = shared_from_this()] { self->Settle(); });
}

}  // namespace bailey::tenants
