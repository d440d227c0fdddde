#include "tenants/tenant.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/log.h"
#include "tenants/spec_json.h"

namespace bailey::tenants {
namespace {

using std::chrono::seconds;

constexpr seconds kLongestPause{60};

// A plan that has gone matters at the next start, which says so; until then the rest is shown.
Spec ShownSpec(const Host& host, const TenantRecord& record) {
  auto effective = EffectiveSpec(host, record);
  return effective ? std::move(*effective) : Effective(record.spec, Spec{});
}

}  // namespace

Tenant::Tenant(TenantContext& context, TenantRecord record)
    : context_(context),
      record_(std::move(record)),
      effective_(ShownSpec(context.host, record_)),
      life_(context.loop, record_.name(), context.host.paths.ControlSocket(record_.name())),
      requests_(context.loop, record_.name(), context.host.paths.ControlSocket(record_.name())) {}

Tenant::~Tenant() {
  if (supervisor_) context_.loop.Unwatch(supervisor_.get());
  context_.loop.Cancel(last_resort_);
  context_.loop.Cancel(retry_);
}

bool Tenant::AtRest() const {
  return record_.state == TenantState::kDefined || record_.state == TenantState::kStopped ||
         record_.state == TenantState::kFailed;
}

// ---- what is asked of it --------------------------------------------------------------------

void Tenant::Start(Done done) {
  if (Runs()) return done({});
  if (IsSuspended())
    return done(ApiError{ApiCode::kInUse,
                         "tenant " + name() + " is suspended",
                         name(),
                         {},
                         "bailey resume " + name()});
  if (record_.state == TenantState::kPreparing) return waiting_.push_back(std::move(done));
  if (!AtRest())
    return waiting_.push_back([self = weak_from_this(), done = std::move(done)](const auto& ended) {
      if (const auto tenant = self.lock()) return tenant->Start(done);
      done(ended);
    });
  keep_trying_ = false;
  if (const ApiStatus begun = BeginStart(); !begun) return done(begun);
  waiting_.push_back(std::move(done));
}

void Tenant::Stop(Done done) {
  context_.loop.Cancel(retry_);
  keep_trying_ = false;
  // Copying and checking a disk may take long, and may be cut short at any moment.
  if (preparing_store_) runner_->Signal(SIGKILL);
  if (!IsUp() && !AtRest())
    return waiting_.push_back([self = weak_from_this(), done = std::move(done)](const auto&) {
      if (const auto tenant = self.lock()) return tenant->Stop(done);
      done({});
    });
  const bool nothing_there =
      record_.state == TenantState::kDefined || record_.state == TenantState::kStopped;
  if (nothing_there) return done({});
  const ApiStatus begun = IsUp() ? BeginStop() : BeginClear();
  if (!begun) return done(begun);
  waiting_.push_back(std::move(done));
}

// ---- at rest --------------------------------------------------------------------------------

// The end of every transition but the one to `running`.
void Tenant::Settle() {
  const auto self = shared_from_this();
  life_.Forget();
  requests_.Abandon();
  counters_ = {};
  init_pid_ = -1;
  dismissing_ = false;
  gone_cleanly_.reset();
  pausing_ = false;
  record_.state = failure_ ? TenantState::kFailed : TenantState::kStopped;
  record_.state_since = UnixNow();
  record_.started_at = 0;
  record_.error = failure_;
  record_.should_run = keep_trying_;
  Save();
  if (failure_)
    Note("failed", failure_->message);
  else if (!keep_trying_)
    Note("stopped", "");
  if (keep_trying_) StartAgainLater();
  const ApiStatus outcome = failure_ ? ApiStatus(*std::exchange(failure_, {})) : ApiStatus();
  for (const Done& done : std::exchange(waiting_, {})) done(outcome);
}

void Tenant::StartAgainLater() {
  LogInfo(name() + ": starts again in " + std::to_string(retry_pause_.count()) + " s");
  retry_ = context_.loop.After(retry_pause_, [this] {
    retry_ = 0;
    if (!AtRest()) return;
    const ApiStatus begun = BeginStart();
    if (begun) return;
    LogError(name() + ": not started again: " + begun.error().message);
    if (retry_ == 0 && keep_trying_) StartAgainLater();  // unless it has settled, and did that
  });
  retry_pause_ = std::clamp(retry_pause_ * 2, seconds(1), kLongestPause);
}

// ---- finding it again -----------------------------------------------------------------------

void Tenant::Adopt(std::function<void()> found) {
  if (AtRest() && !record_.should_run) return found();
  Attach([this, found = std::move(found)](auto answer) { OnAdopted(std::move(answer), found); });
}

void Tenant::OnAdopted(ApiResult<SupervisorAnswer> answer, const std::function<void()>& found) {
  if (answer) {
    LogInfo(name() + ": its supervisor lives");
    const bool was_stopping = record_.state == TenantState::kStopping;
    if (!was_stopping && !IsUp()) record_.state = TenantState::kPreparing;
    OnStatus(std::move(answer));
    // The stop that the last daemon had begun.
    if (was_stopping && !dismissing_ && supervisor_) Dismiss();
    return found();
  }
  // Whoever suspended it did not want it to run again from its beginning.
  keep_trying_ = record_.should_run && !IsSuspended();
  LogInfo(name() + ": no supervisor" + (keep_trying_ ? "; it should run" : ""));
  failure_.reset();
  record_.state = TenantState::kStopping;
  Clear();
  found();
}

// ---- what is kept ---------------------------------------------------------------------------

ApiStatus Tenant::SaveIntent(TenantRecord record) {
  if (record.state != record_.state) record.state_since = UnixNow();
  if (const Status saved = context_.store.Update(record); !saved)
    return ApiError::From(saved.error(), name(), "store");
  record_ = std::move(record);
  return {};
}

void Tenant::Save() {
  if (const Status saved = context_.store.Update(record_); !saved)
    LogError(name() + ": its state is not kept: " + saved.error().Message());
}

void Tenant::Note(const char* kind, const std::string& text) {
  LogInfo(name() + ": " + kind + (text.empty() ? "" : ": " + text));
  if (const Status noted = context_.store.AddEvent(name(), kind, text); !noted)
    LogError("event not kept: " + noted.error().Message());
}

}  // namespace bailey::tenants
