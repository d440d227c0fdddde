#include "supervisor/tenant.h"

#include <fcntl.h>

#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "supervisor/cgroup_usage.h"
#include "supervisor/kept_capabilities.h"
#include "supervisor/processor_share.h"

namespace bailey::supervisor {
namespace {

constexpr size_t kMaxSessions = 256;
// Often enough for any scrape, and next to nothing for a host with a thousand tenants.
constexpr std::chrono::seconds kStoreCountPause{5};

// For whoever finds the runtime directory without a supervisor: what it was about to do.
void WriteIntent(const std::string& runtime_dir, const TenantStatus& status) {
  const auto file =
      OpenPath(runtime_dir + "/state", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
  if (!file || !WriteAll(file->get(), StatusReply(status) + "\n"))
    LogWarning("cannot write " + runtime_dir + "/state");
}

}  // namespace

Tenant::Tenant(Setup setup, std::function<void()> changed)
    : setup_(std::move(setup)), changed_(std::move(changed)) {}

// Without a stop before it, as when the process ends in a hurry, the tenant ends with us.
Tenant::~Tenant() {
  setup_.loop.Cancel(deadline_);
  setup_.loop.Cancel(teardown_);
  setup_.loop.Cancel(suspending_);
  setup_.loop.Cancel(store_count_);
  if (launched_) setup_.loop.Unwatch(launched_->init_pidfd.get());
}

void Tenant::Enter(TenantState state) {
  status_.state = state;
  WriteIntent(setup_.runtime_dir, status_);
  LogInfo(std::string(TenantStateName(state)) +
          (status_.failure ? ": " + status_.failure->error.Message() : ""));
  changed_();
}

std::string Tenant::Program(const char* name) const {
  const std::string& named = setup_.config.programs;
  return (named.empty() ? ProgramDirectory() : named) + "/" + name;
}

std::vector<int> Tenant::CounterPages() const {
  return {setup_.counters.fs.get(), setup_.counters.net.get(), setup_.counters.own.get(),
          setup_.counters.tls.get(), setup_.counters.published.fd()};
}

uint64_t Tenant::TakeOomKills() {
  const uint64_t now = ReadOomKills(setup_.host, setup_.config.cgroup);
  const uint64_t fresh = now > oom_kills_ ? now - oom_kills_ : 0;
  oom_kills_ = now;
  return fresh;
}

void Tenant::CountStore() {
  const auto usage = store_ ? store_->Usage() : std::nullopt;
  if (!usage) return;
  own().Set(SupervisorCounter::kDiskBytes, usage->bytes);
  own().Set(SupervisorCounter::kDiskUsedBytes, usage->used_bytes);
  own().Set(SupervisorCounter::kDiskInodes, usage->inodes);
  own().Set(SupervisorCounter::kDiskUsedInodes, usage->used_inodes);
  setup_.loop.Cancel(store_count_);
  store_count_ = setup_.loop.After(kStoreCountPause, [this] { CountStore(); });
}

void Tenant::WatchDenials(UniqueFd listener) {
  const DenialContext context{.loop = &setup_.loop,
                              .counters = setup_.counters.own_page.get(),
                              .filter = &*filter_,
                              .allow = allow_,
                              .uid_base = setup_.config.uid_base,
                              .init_pidfd = launched_->init_pidfd.get(),
                              .sysinfo = &*sysinfo_};
  // Its address is known only after it was made, and it cannot be gone before the loop runs.
  auto slot = std::make_shared<DenialListener*>(nullptr);
  auto started = DenialListener::Start(context, std::move(listener), [this, slot] {
    std::erase_if(denials_, [&](const auto& each) { return each.get() == *slot; });
  });
  if (!started) return LogError("denials: " + started.error().Message());
  *slot = started->get();
  denials_.push_back(std::move(*started));
}

Result<pid_t> Tenant::Exec(const ExecRequest& request, std::vector<UniqueFd> fds) {
  // A child in a group that freezes would not report, and we would wait for it.
  if (status_.state == TenantState::kSuspended || IsSuspending())
    return Errno("the tenant is suspended", ESRCH).WithHint("bailey resume " + setup_.config.name);
  if (status_.state != TenantState::kRunning)
    return Errno("the tenant is " + std::string(TenantStateName(status_.state)), ESRCH)
        .WithHint("bailey start " + setup_.config.name);
  if (fds.size() != (request.program ? 2U : 1U))
    return Invalid("exec takes the session socket, and the program if one is announced");
  if (sessions_.size() >= kMaxSessions) return Errno("start another exec session", EAGAIN);
  ExecSession::Setup session{
      setup_.loop,
      *launched_,
      *cgroup_,
      *filter_,
      KeptCapabilityMask(allow_),
      setup_.config.uid_base,
      [this] { return TakeOomKills(); },
      [this](ExecSession& ended, const ExitReport& exit) { OnSessionEnd(ended, exit); }};
  auto started = ExecSession::Start(std::move(session), request, std::move(fds[0]),
                                    request.program ? std::move(fds[1]) : UniqueFd());
  if (!started) return started.error();
  own().Add(SupervisorCounter::kExecs);
  WatchDenials((*started)->TakeSeccompListener());
  sessions_.push_back(std::move(*started));
  return sessions_.back()->pid();
}

void Tenant::OnSessionEnd(ExecSession& session, const ExitReport& exit) {
  CountExit(exit, own());
  std::erase_if(sessions_, [&](const auto& each) { return each.get() == &session; });
  OnIdle();
}

Status Tenant::Hold(const Limits& limits) {
  BAILEY_TRY(cgroup_->SetLimits(limits));
  if (!store_) return {};
  Status held = store_->SetLimit(limits.disk_bytes);
  CountStore();
  return held;
}

// After a change of the cpu limit.
Status Tenant::SpreadProcessors() {
  const auto share = ProcessorsOf(setup_.config);
  if (!share) return share.error();
  const cpu_set_t before = std::exchange(launched_->processors, *share);
  return MoveToProcessors(*cgroup_, before, *share);
}

Status Tenant::RestartProxy() {
  if (!proxy_) return Errno("the tenant is " + std::string(TenantStateName(status_.state)), ESRCH);
  return proxy_->Restart();
}

Result<Limits> Tenant::Set(const SetRequest& request) {
  if (!cgroup_ || HasEnded(status_.state))
    return Errno("the tenant is " + std::string(TenantStateName(status_.state)), ESRCH);
  TenantConfig& config = setup_.config;
  Limits wanted = config.limits;
  if (request.limits) {
    const auto limits = ParseLimits(*request.limits, config.limits);
    if (!limits) return limits.error();
    wanted = *limits;
  }
  if (const Status set = Hold(wanted); !set) {
    // As it was: the first of the limits may hold already.
    if (const Status back = cgroup_->SetLimits(config.limits); !back)
      LogError("set limits back: " + back.error().Message());
    return set.error();
  }
  const bool other_cpu = config.limits.cpu != wanted.cpu;
  config.limits = wanted;
  if (launched_ && other_cpu) BAILEY_TRY(SpreadProcessors());
  if (request.publish) {
    config.publish = *request.publish;
    if (proxy_) proxy_->CloseUnpublished();
  }
  if (request.tls && *request.tls != config.tls) {
    config.tls = *request.tls;
    if (tls_) BAILEY_TRY(tls_->Apply());
  }
  if (request.network) {
    config.network = *request.network;
    if (proxy_) BAILEY_TRY(proxy_->Reconfigure(config.network));
  }
  auto held = cgroup_->ReadLimits();
  if (held) held->connections = wanted.connections;
  if (held && store_) held->disk_bytes = store_->bytes();
  return held;
}

}  // namespace bailey::supervisor
