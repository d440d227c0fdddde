// bailey-supervisor: one per tenant, from its start to its stop. docs/DESIGN.md, "baileyd →
// bailey-supervisor".
#include <getopt.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/event_loop.h"
#include "base/files.h"
#include "base/log.h"
#include "base/service.h"
#include "supervisor/control_server.h"
#include "supervisor/daemon.h"
#include "supervisor/earlier_supervisor.h"
#include "supervisor/own_capabilities.h"
#include "supervisor/store_preparation.h"
#include "supervisor/tenant.h"
#include "supervisor/tenant_sweep.h"

namespace bailey::supervisor {
namespace {

struct Options {
  std::string runtime_dir;
  int config_fd = -1;
  bool clear = false, prepare = false;
};

constexpr const char* kUsage =
    "usage: bailey-supervisor [--clear | --prepare] --runtime DIR --config-fd N\n"
    "Started by baileyd for one tenant.\n";

Result<Options> ParseOptions(int argc, char** argv) {
  static constexpr std::array<option, 5> kLong = {{{"runtime", required_argument, nullptr, 'r'},
                                                   {"config-fd", required_argument, nullptr, 'c'},
                                                   {"clear", no_argument, nullptr, 'x'},
                                                   {"prepare", no_argument, nullptr, 'p'},
                                                   {nullptr, 0, nullptr, 0}}};
  Options options;
  for (int flag = 0; (flag = ::getopt_long(argc, argv, "", kLong.data(), nullptr)) != -1;) {
    if (flag == '?') return Invalid("unknown option", kUsage);
    if (flag == 'x') options.clear = true;
    if (flag == 'p') options.prepare = true;
    if (flag == 'r') options.runtime_dir = optarg;
    if (flag != 'c') continue;
    const char* end = optarg + std::strlen(optarg);
    if (std::from_chars(optarg, end, options.config_fd).ptr != end)
      return Invalid("--config-fd takes a number", kUsage);
  }
  if (options.runtime_dir.empty() || options.runtime_dir.front() != '/' || options.config_fd < 0 ||
      optind != argc)
    return Invalid("--runtime takes an absolute path; --config-fd is missing", kUsage);
  return options;
}

Result<TenantConfig> ReadConfig(int fd) {
  ::lseek(fd, 0, SEEK_SET);  // a memfd that its maker has just written; a pipe refuses, and may
  const auto text = ReadAll(fd);
  if (!text) return text.error().Within("read the configuration");
  return ParseTenantConfig(*text);
}

Status Clear(const Options& options, const TenantConfig& config) {
  const auto host = CgroupHost::Detect();
  if (!host) return host.error();
  auto lock = RuntimeLock::Open(options.runtime_dir);
  if (!lock) return lock.error().Errno() == ENOENT ? Status() : lock.error();
  BAILEY_TRY(lock->TakeByForce());
  ::unlink(ControlSocketPath(options.runtime_dir).c_str());
  return SweepTenant(*host, config, options.runtime_dir);
}

// Whoever clears meanwhile ends us: the lock is ours.
Status Prepare(const Options& options, const TenantConfig& config) {
  const auto lock = TakeOver(options.runtime_dir, config.name);
  if (!lock) return lock.error();
  const auto host = CgroupHost::Detect();
  if (!host) return host.error();
  BAILEY_TRY(SweepTenant(*host, config, options.runtime_dir));
  return PrepareStore(config.layers, config.limits.disk_bytes);
}

Status Serve(const Options& options, TenantConfig config, Daemon& daemon) {
  const auto lock = TakeOver(options.runtime_dir, config.name);
  if (!lock) return lock.error();
  const auto host = CgroupHost::Detect();
  if (!host) return host.error();
  BAILEY_TRY(SweepTenant(*host, config, options.runtime_dir));
  BAILEY_TRY(DropOtherCapabilities());
  RaiseFileLimit();
  auto loop = EventLoop::Create();
  if (!loop) return loop.error();
  auto counters = TenantCounters::Make();
  if (!counters) return counters.error();
  const auto signals = TakeStopSignals();
  if (!signals) return signals.error();

  ControlServer* changed = nullptr;
  Tenant tenant({*loop, *host, std::move(config), options.runtime_dir, std::move(*counters)},
                [&changed] { changed->TenantChanged(); });
  ControlServer control(*loop, tenant, ControlSocketPath(options.runtime_dir));
  changed = &control;
  BAILEY_TRY(control.Listen());
  BAILEY_TRY(loop->Watch(signals->get(), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info{};
    if (::read(signals->get(), &info, sizeof info) == sizeof info) control.StopForGood();
  }));
  daemon.Up();
  tenant.Start();
  loop->Run();
  return {};
}

// For whoever started us: what failed, and on a line of its own what to try.
int Fail(const Error& error) {
  ::dprintf(STDERR_FILENO, "%s\n%s", error.Message().c_str(),
            error.hint.empty() ? "" : (error.hint + "\n").c_str());
  return 1;
}

int Main(int argc, char** argv) {
  SetLogName("supervisor");
  const auto options = ParseOptions(argc, argv);
  if (!options) return Fail(options.error());
  auto config = ReadConfig(options->config_fd);
  if (!config) return Fail(config.error());
  SetLogName("supervisor[" + config->name + "]");
  if (options->clear) {
    const Status cleared = Clear(*options, *config);
    return cleared ? 0 : Fail(cleared.error());
  }
  if (options->prepare) {
    const Status prepared = Prepare(*options, *config);
    return prepared ? 0 : Fail(prepared.error());
  }
  BAILEY_CHECK(options->config_fd > 2);
  auto daemon = Daemon::Start(options->runtime_dir + "/supervisor.log");
  if (!daemon) return Fail(daemon.error());
  const Status served = Serve(*options, std::move(*config), *daemon);
  if (served) return 0;
  daemon->Failed(served.error());
  LogError(served.error().Message());
  return 1;
}

}  // namespace
}  // namespace bailey::supervisor

int main(int argc, char** argv) { return bailey::supervisor::Main(argc, argv); }
