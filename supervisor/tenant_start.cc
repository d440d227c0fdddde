// The start of a tenant, in the numbered stages of docs/DESIGN.md:
//   1    groups    the address, the cgroups and their limits
//        store     the tenant's own layer: a directory, or a disk image with its mount
//        root      the FUSE mount, and bailey-fs until it has answered INIT
//   2–5  walls     namespaces, routes, init at the gate, mounts, pivot (tenant_launch.cc)
//   6    network   bailey-netproxy, until it serves
//   7    gate      init raises its walls and runs the start command
#include <sys/wait.h>

#include "base/log.h"
#include "supervisor/host_address.h"
#include "supervisor/tenant.h"
#include "supervisor/tenant_sweep.h"

namespace bailey::supervisor {
namespace {

// What a stage may take on a loaded host; a start takes milliseconds.
constexpr std::chrono::seconds kStageDeadline{20};

}  // namespace

void Tenant::Start() {
  began_at_ = EventLoop::Clock::now();
  Enter(TenantState::kPreparing);
  PrepareGroups();
}

void Tenant::Stage(const char* name, Status (Tenant::*work)()) {
  if (status_.state != TenantState::kPreparing) return;  // stopped, or failed, meanwhile
  stage_ = name;
  setup_.loop.Cancel(deadline_);
  deadline_ = setup_.loop.After(
      kStageDeadline, [this] { Fail(Errno(std::string("wait for stage ") + stage_, ETIMEDOUT)); });
  if (Status done = (this->*work)(); !done) Fail(done.error());
}

void Tenant::PrepareGroups() {
  Stage("groups", &Tenant::MakeGroups);
  Stage("store", &Tenant::OpenStore);
  Stage("root", &Tenant::MakeRoot);
}
void Tenant::RaiseWalls() {
  Stage("walls", &Tenant::MakeWalls);
  Stage("network", &Tenant::MakeNetwork);
}
void Tenant::OpenTheGate() { Stage("gate", &Tenant::RunInit); }

Status Tenant::MakeGroups() {
  const auto allow = ParseAllow(setup_.config.allow);
  if (!allow) return allow.error();
  allow_ = *allow;
  BAILEY_TRY(AcquireAddress(setup_.runtime_dir, setup_.config.interface, setup_.config.ip));
  auto cgroup = TenantCgroup::Create(setup_.host, setup_.config.cgroup);
  if (!cgroup) return cgroup.error();
  cgroup_.emplace(std::move(*cgroup));
  return cgroup_->SetLimits(setup_.config.limits);
}

Status Tenant::OpenStore() {
  auto store = TenantStore::Open(setup_.config.layers, setup_.config.limits.disk_bytes);
  if (!store) return store.error();
  store_.emplace(std::move(*store));
  CountStore();
  return {};
}

Status Tenant::MakeRoot() {
  files_ = std::make_unique<FileServer>(
      setup_.loop,
      FileServer::Events{[this] { RaiseWalls(); }, [this](const Error& reason) { Fail(reason); }});
  auto machine = OpenMachineSources(setup_.host, setup_.config.cgroup);
  if (!machine) return machine.error();
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  booted_ = std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  BAILEY_TRY(files_->Start({setup_.config, *store_, *cgroup_, Program("bailey-fs"),
                            RootMountPoint(setup_.runtime_dir), setup_.counters.fs.get(), booted_,
                            std::move(*machine)}));
  // While the file server comes up.
  auto console = ConsoleLog::Open(setup_.loop, setup_.config.console_log, setup_.config.uid_base);
  if (!console) return console.error();
  console_ = std::move(*console);
  auto filter = CompileTenantFilter(allow_);
  if (!filter) return filter.error();
  filter_.emplace(std::move(*filter));
  auto program = LoadInitProgram(Program("bailey-init"));
  if (!program) return program.error();
  init_program_ = std::move(*program);
  return {};
}

Status Tenant::MakeWalls() {
  auto launched = LaunchTenant({setup_.config, allow_, *cgroup_, *filter_, files_->mount(),
                                console_->write_end(), init_program_.get(), store_->upper(),
                                files_->machine(), booted_});
  if (!launched) return launched.error();
  launched_.emplace(std::move(*launched));
  sysinfo_.emplace(setup_.host, setup_.config, booted_);
  console_->CloseWriteEnd();
  status_.init_pid = launched_->init_pid;
  return setup_.loop.Watch(launched_->init_pidfd.get(), EPOLLIN,
                           [this](uint32_t) { OnInitDeath(); });
}

Status Tenant::MakeNetwork() {
  tls_ = std::make_unique<TlsProcess>(
      setup_.loop,
      TlsProcess::Setup{setup_.config, *cgroup_, Program("bailey-tls"), setup_.counters.tls.get()},
      [this] {
        if (proxy_) proxy_->GiveTlsLink();
      });
  BAILEY_TRY(tls_->Apply());
  proxy_ = std::make_unique<NetProxy>(
      setup_.loop,
      NetProxy::Setup{setup_.config, *cgroup_, Program("bailey-netproxy"),
                      setup_.counters.net.get(), own(), [this] { return tls_->Connect(); },
                      setup_.counters.published, HasAddedAddress(setup_.runtime_dir)},
      NetProxy::Events{[this] { OpenTheGate(); }, [this](const Error& reason) { Fail(reason); },
                       [this] { changed_(); }});
  return proxy_->Start(std::move(launched_->netns), setup_.config.network);
}

Status Tenant::RunInit() {
  auto listener = OpenGate(*launched_);
  if (!listener) return listener.error();
  WatchDenials(std::move(*listener));
  StartCommand::Events events;
  events.started = [this] { OnStarted(); };
  events.start_failed = events.broken = [this](const Error& error) { Fail(error); };
  events.exited = [this](const ExitReport& exit) {
    CountExit(exit, own());
    status_.last_exit = exit;
  };
  events.restarted = [this] {
    ++status_.restarts;
    own().Add(SupervisorCounter::kRestarts);
  };
  events.shutdown = [this](Shutdown how) { OnShutdown(how); };
  events.idle = [this] { OnIdle(); };
  command_ = std::make_unique<StartCommand>(
      setup_.loop, setup_.config.process, launched_->control.get(),
      [this] { return TakeOomKills(); }, std::move(events));
  return command_->Run();
}

void Tenant::OnStarted() {
  if (status_.state != TenantState::kPreparing) return;
  setup_.loop.Cancel(deadline_);
  stage_ = "run";
  const auto took = EventLoop::Clock::now() - began_at_;
  own().Add(SupervisorCounter::kStarts);
  own().Set(
      SupervisorCounter::kStartMicroseconds,
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
  status_.started_at = std::chrono::system_clock::now();
  Enter(TenantState::kRunning);
}

}  // namespace bailey::supervisor
