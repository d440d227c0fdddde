#include "tenants/tenant.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/syscalls.h"
#include "tenants/spec_json.h"
#include "tenants/supervisor_process.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A machine under load may be slow; a supervisor that says nothing for longer is killed.
constexpr milliseconds kStatusPatience{20'000};
constexpr milliseconds kStartPatience{60'000};
constexpr milliseconds kRequestPatience{30'000};
// Beside the tenant's own stop_timeout: a stuck file server takes the supervisor some seconds.
constexpr milliseconds kTeardownPatience{30'000};
constexpr seconds kGonePatience{5};
constexpr seconds kLongestPause{60};
// A tenant that ran this long before it broke is started again at once.
constexpr double kSteadySeconds = 60;

pid_t PidAt(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  json::error_code failed;
  const auto pid = value == nullptr ? 0 : value->to_number<pid_t>(failed);
  return value == nullptr || failed || pid <= 0 ? -1 : pid;
}

double TimeAt(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  json::error_code failed;
  const double time = value == nullptr ? 0 : value->to_number<double>(failed);
  return value == nullptr || failed ? 0 : time;
}

std::string_view StateIn(const json::object& status) {
  const json::value* state = status.if_contains("state");
  if (state == nullptr || !state->is_string()) return "";
  return {state->get_string().data(), state->get_string().size()};
}

// A plan that has gone matters at the next start, which says so; until then the rest is shown.
Spec ShownSpec(const Host& host, const TenantRecord& record) {
  auto effective = EffectiveSpec(host, record);
  return effective ? std::move(*effective) : Effective(record.spec, Spec{});
}

json::object Request(const char* op) { return {{"op", op}}; }

// Whatever was not found or not allowed on the way: to the caller the start has failed.
ApiError FailedStart(ApiError error) {
  if (error.code != ApiCode::kTimeout) error.code = ApiCode::kFailed;
  return error;
}

// The pid behind a pidfd, in our own pid namespace: "Pid:" of its fdinfo, pidfd_open(2).
pid_t PidOf(int pidfd) {
  const auto text = ReadFile("/proc/self/fdinfo/" + std::to_string(pidfd));
  const size_t at = text ? text->find("Pid:") : std::string::npos;
  return at == std::string::npos ? -1 : static_cast<pid_t>(std::atoi(text->c_str() + at + 4));
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
  if (!Runs() && !AtRest())
    return waiting_.push_back([self = weak_from_this(), done = std::move(done)](const auto&) {
      if (const auto tenant = self.lock()) return tenant->Stop(done);
      done({});
    });
  const bool nothing_there =
      record_.state == TenantState::kDefined || record_.state == TenantState::kStopped;
  if (nothing_there) return done({});
  const ApiStatus begun = Runs() ? BeginStop() : BeginClear();
  if (!begun) return done(begun);
  waiting_.push_back(std::move(done));
}

void Tenant::Set(Spec spec, Done done) {
  if (!Runs() && !AtRest())
    return waiting_.push_back(
        [self = weak_from_this(), spec = std::move(spec), done = std::move(done)](const auto&) {
          if (const auto tenant = self.lock()) return tenant->Set(spec, done);
          done(ApiError{ApiCode::kNotFound, "the tenant has gone", spec.name, {}, {}});
        });
  TenantRecord changed = record_;
  changed.spec = std::move(spec);
  auto effective = EffectiveSpec(context_.host, changed);
  if (!effective) return done(ApiError::From(effective.error(), name(), "spec"));
  Spec before = record_.spec;
  if (const ApiStatus saved = SaveIntent(std::move(changed)); !saved) return done(saved);
  Spec before_effective = std::exchange(effective_, std::move(*effective));
  if (!Runs()) return done({});
  requests_.Ask(LiveSettings(), {}, kRequestPatience,
                [this, before = std::move(before), before_effective = std::move(before_effective),
                 done = std::move(done)](const auto& answer) {
                  if (answer) return done({});
                  record_.spec = before;
                  effective_ = before_effective;
                  Save();
                  done(answer.error());
                });
}

json::object Tenant::LiveSettings() const {
  json::object request = Request("set");
  const supervisor::Limits limits = MakeLimits(effective_);
  request["limits"] = {{"cpu", limits.cpu},
                       {"memory", limits.memory_bytes},
                       {"pids", limits.pids},
                       {"connections", limits.connections}};
  request["network"] = json::parse(netproxy::FormatProxyConfig(
      MakeProxyConfig(context_.host, effective_, context_.peers(name()))));
  // The supervisor reads this one itself: what the proxy may ask for.
  const auto& publish = *effective_.publish;
  request["publish"] = publish.listening
                           ? json::value()
                           : json::value(json::array(publish.ports.begin(), publish.ports.end()));
  return request;
}

void Tenant::PushNetwork() {
  if (Runs()) Push([](json::object& request) { request.erase("limits"); });
}

// A daemon that died between the store and the supervisor may have left them apart.
void Tenant::PushSettings() {
  Push([](json::object&) {});
}

void Tenant::Push(void (*narrow)(json::object& request)) {
  json::object request = LiveSettings();
  narrow(request);
  life_.Ask(request, {}, kRequestPatience, [this](const auto& answer) {
    if (!answer) LogWarning(name() + ": its settings were not updated: " + answer.error().message);
  });
}

void Tenant::Exec(const json::object& request, const std::vector<int>& fds, Done done) {
  requests_.Ask(request, fds, kRequestPatience, [done = std::move(done)](const auto& answer) {
    done(answer ? ApiStatus() : ApiStatus(answer.error()));
  });
}

// ---- starting -------------------------------------------------------------------------------

ApiStatus Tenant::BeginStart() {
  context_.loop.Cancel(retry_);
  auto effective = EffectiveSpec(context_.host, record_);
  if (!effective) return ApiError::From(effective.error(), name(), "spec");
  effective_ = std::move(*effective);
  const auto proxy = MakeProxyConfig(context_.host, effective_, context_.peers(name()));
  const auto config = MakeTenantConfig(context_.host, record_, effective_, proxy);
  if (!config) return ApiError::From(config.error(), name(), "template");
  TenantRecord intent = record_;
  intent.should_run = true;
  intent.state = TenantState::kPreparing;
  intent.error.reset();
  if (ApiStatus saved = SaveIntent(std::move(intent)); !saved) return saved;
  failure_.reset();
  auto run = [&]() -> Status {
    BAILEY_TRY(PrepareDirectories(context_.host, record_));
    auto runner = RunSupervisor(context_.loop, SupervisorTask::kServe, *config,
                                context_.host.paths.TenantRuntime(name()),
                                [this](const ApiStatus& up) { OnUp(up); });
    if (!runner) return runner.error();
    runner_ = std::move(*runner);
    return {};
  };
  if (const Status ran = run(); !ran) {
    failure_ = ApiError::From(ran.error(), name(), "supervisor");
    ApiStatus outcome = *failure_;
    Settle();
    return outcome;
  }
  return {};
}

void Tenant::OnUp(const ApiStatus& up) {
  runner_.reset();
  if (!up) {
    failure_ = up.error();
    return Clear();
  }
  Attach([this](auto answer) { OnStatus(std::move(answer)); });
}

void Tenant::Attach(SupervisorClient::Handler handler) {
  life_.Ask(Request("status"), {}, kStatusPatience, std::move(handler));
}

// Somebody answers on control.sock: from now on its end is ours to know.
void Tenant::OnStatus(ApiResult<SupervisorAnswer> answer) {
  if (!answer) {
    failure_ = answer.error();
    return Clear();
  }
  supervisor_ = std::move(answer->pidfd);
  supervisor_pid_ = PidOf(supervisor_.get());
  dismissing_ = false;
  gone_cleanly_.reset();
  const auto watched =
      context_.loop.Watch(supervisor_.get(), EPOLLIN, [this](uint32_t) { OnSupervisorGone(); });
  if (!watched) {
    failure_ = ApiError::From(watched.error(), name(), "supervisor");
    supervisor_.Reset();
    return Clear();
  }
  const std::string_view state = StateIn(answer->body);
  if (state == "running") return OnRunning(answer);
  if (state == "defined" || state == "preparing")
    return life_.Ask({{"op", "wait"}, {"for", "running"}}, {}, kStartPatience,
                     [this](const auto& reached) { OnRunning(reached); });
  if (answer->body.contains("errno"))
    failure_ = FailedStart(SupervisorErrorOf(answer->body, name()));
  Dismiss();
}

void Tenant::OnRunning(const ApiResult<SupervisorAnswer>& answer) {
  if (!answer) {
    failure_ = FailedStart(answer.error());
    return Dismiss();
  }
  init_pid_ = PidAt(answer->body, "initPid");
  const double started_at = TimeAt(answer->body, "startedAt");
  const bool adopted = Runs();
  record_.started_at = started_at > 0 ? started_at : UnixNow();
  record_.error.reset();
  if (!adopted) {
    record_.state = TenantState::kRunning;
    record_.state_since = UnixNow();
    ++record_.starts;
    Note("started", "init is process " + std::to_string(init_pid_));
  }
  record_.should_run = true;
  keep_trying_ = false;
  Save();
  FetchCounters();
  AwaitEnd();
  if (adopted) PushSettings();
  const auto self = shared_from_this();
  for (const Done& done : std::exchange(waiting_, {})) done({});
}

void Tenant::AwaitEnd() {
  life_.Ask({{"op", "wait"}, {"for", "stopped"}}, {}, milliseconds(0),
            [this](const auto& answer) { OnEnded(answer); });
}

void Tenant::FetchCounters() {
  life_.Ask(Request("counters"), {}, kRequestPatience, [this](auto answer) {
    if (!answer) return LogWarning(name() + ": no counters: " + answer.error().message);
    if (answer->fds.size() != 3) return LogWarning(name() + ": not three counter pages");
    auto fs = CounterMapping<FsCounter>::Map(answer->fds[0].get(), false);
    auto net = CounterMapping<NetCounter>::Map(answer->fds[1].get(), false);
    auto own = CounterMapping<SupervisorCounter>::Map(answer->fds[2].get(), false);
    if (!fs || !net || !own) return LogWarning(name() + ": counter pages cannot be mapped");
    counters_ = {std::move(*fs), std::move(*net), std::move(*own)};
  });
}

// ---- stopping -------------------------------------------------------------------------------

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
  record_.should_run = false;
  record_.state = TenantState::kStopping;
  record_.state_since = UnixNow();
  Save();
  Dismiss();
}

void Tenant::Dismiss() {
  dismissing_ = true;
  const milliseconds own = *effective_.stop_timeout;
  json::object request = Request("stop");
  request["timeoutMs"] = own.count();
  life_.Ask(request, {}, own + kTeardownPatience, [this](const auto& answer) {
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
    if (!was_stopping && !Runs()) record_.state = TenantState::kPreparing;
    OnStatus(std::move(answer));
    // The stop that the last daemon had begun.
    if (was_stopping && !dismissing_ && supervisor_) Dismiss();
    return found();
  }
  keep_trying_ = record_.should_run;
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
