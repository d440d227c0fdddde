// Tenant: from the intent to run until it runs.
#include <cstdlib>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "supervisor/disk_image.h"
#include "tenants/removal.h"
#include "tenants/supervisor_process.h"
#include "tenants/tenant.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

// A machine under load may be slow; a supervisor that says nothing for longer is killed.
constexpr milliseconds kStatusPatience{20'000};
constexpr milliseconds kStartPatience{60'000};
constexpr milliseconds kCountersPatience{30'000};

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
  if (const Status ran = RunStart(*config); !ran) {
    ApiStatus outcome = ApiError::From(ran.error(), name(), "supervisor");
    EndStart(outcome.error());
    return outcome;
  }
  return {};
}

Status Tenant::RunStart(const supervisor::TenantConfig& config) {
  const std::string& image = config.layers.image;
  const uint64_t limit = config.limits.disk_bytes;
  const bool limited = limit > 0 || supervisor::ImageBytes(image) > 0;
  BAILEY_TRY(PrepareDirectories(context_.host, record_, limited));
  if (supervisor::NeedsPreparation(image, limit)) return Prepare(config);
  return Serve(config);
}

Status Tenant::Prepare(const supervisor::TenantConfig& config) {
  auto runner = RunSupervisor(context_.loop, SupervisorTask::kPrepare, config,
                              context_.host.paths.TenantRuntime(name()),
                              [this, config](const ApiStatus& prepared) {
                                preparing_store_ = false;
                                if (!prepared) return EndStart(prepared.error());
                                if (const Status served = Serve(config); !served)
                                  EndStart(ApiError::From(served.error(), name(), "supervisor"));
                              });
  if (!runner) return runner.error();
  runner_ = std::move(*runner);
  preparing_store_ = true;
  return {};
}

Status Tenant::Serve(const supervisor::TenantConfig& config) {
  if (supervisor::ImageBytes(config.layers.image) > 0) DiscardDirectory();
  auto runner = RunSupervisor(context_.loop, SupervisorTask::kServe, config,
                              context_.host.paths.TenantRuntime(name()),
                              [this](const ApiStatus& up) { OnUp(up); });
  if (!runner) return runner.error();
  runner_ = std::move(*runner);
  return {};
}

// The plain directory of a tenant that has become one with a disk image.
void Tenant::DiscardDirectory() {
  for (const char* part : {"upper", "work"}) {
    const auto moved = MovePartAway(context_.host.paths, name(), part);
    if (!moved)
      LogWarning(name() + ": " + moved.error().Message());
    else if (!moved->empty())
      context_.discard(*moved);
  }
}

// Before there was a supervisor: nothing is there to be cleared.
void Tenant::EndStart(ApiError error) {
  runner_.reset();
  failure_ = std::move(error);
  Settle();
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
  life_.Ask(json::object{{"op", "status"}}, {}, kStatusPatience, std::move(handler));
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
  if (state == "running" || state == "suspended") return OnRunning(answer);
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
  const bool adopted = IsUp();
  const TenantState state =
      StateIn(answer->body) == "suspended" ? TenantState::kSuspended : TenantState::kRunning;
  record_.started_at = started_at > 0 ? started_at : UnixNow();
  record_.error.reset();
  if (record_.state != state) record_.state_since = UnixNow();
  record_.state = state;
  if (!adopted) {
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
  life_.Ask(json::object{{"op", "counters"}}, {}, kCountersPatience, [this](auto answer) {
    if (!answer) return LogWarning(name() + ": no counters: " + answer.error().message);
    if (answer->fds.size() < 3) return LogWarning(name() + ": not three counter pages");
    auto fs = CounterMapping<FsCounter>::Map(answer->fds[0].get(), false);
    auto net = CounterMapping<NetCounter>::Map(answer->fds[1].get(), false);
    auto own = CounterMapping<SupervisorCounter>::Map(answer->fds[2].get(), false);
    if (!fs || !net || !own) return LogWarning(name() + ": counter pages cannot be mapped");
    counters_ = {std::move(*fs), std::move(*net), std::move(*own), {}, {}};
    if (answer->fds.size() < 5) return;  // a supervisor of an earlier release
    auto tls = CounterMapping<TlsCounter>::Map(answer->fds[3].get(), false);
    auto published = PublishedPage::Map(answer->fds[4].get());
    if (tls) counters_.tls = std::move(*tls);
    if (published) counters_.published = std::move(*published);
  });
}

}  // namespace bailey::tenants
