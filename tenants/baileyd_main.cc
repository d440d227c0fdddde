// baileyd: the control plane of one host. Runs in the foreground; logs to stderr. Ends at SIGTERM
// and SIGINT, and leaves its tenants alone: the next one finds them again.
#include <sys/signalfd.h>

#include <cstdio>
#include <string_view>

#include "base/log.h"
#include "base/service.h"
#include "tenants/api_child.h"
#include "tenants/core.h"
#include "tenants/instance.h"
#include "tenants/resolver_watch.h"
#include "tenants/templates/template_store.h"

namespace bailey::tenants {
namespace {

constexpr const char* kUsage =
    "usage: baileyd\n"
    "Serves the tenants of this host in the foreground. Reads /etc/bailey/bailey.toml;\n"
    "BAILEY_CONFIG, BAILEY_STATE_DIR and BAILEY_RUNTIME_DIR move its places.\n";

Result<Host> ReadHost() {
  auto paths = Paths::FromEnvironment();
  if (!paths) return paths.error();
  auto config = LoadDaemonConfig(*paths);
  if (!config) return config.error();
  return Host{std::move(*paths), std::move(*config)};
}

Status Serve() {
  const auto host = ReadHost();
  if (!host) return host.error();
  const auto signals = TakeStopSignals();
  if (!signals) return signals.error();
  RaiseFileLimit();
  auto cgroups = supervisor::CgroupHost::Detect();
  if (!cgroups) return cgroups.error();
  const auto instance = TakeInstance(host->paths, host->config);
  if (!instance) return instance.error();
  BAILEY_TRY(RemoveTemplateLeftovers(host->paths.state));
  auto store = Store::Open(host->paths.Database());
  if (!store) return store.error();
  auto loop = EventLoop::Create();
  if (!loop) return loop.error();
  auto background = Background::Create(*loop);
  if (!background) return background.error();
  // A removal that takes long must not hold up those who ask how large a root is.
  auto measuring = Background::Create(*loop);
  if (!measuring) return measuring.error();

  Sampler sampler(std::move(*cgroups));
  Fleet fleet(*loop, *store, *host, **background);
  // Without it, tenants ask the resolvers that were there when they were started.
  const auto resolvers = ResolverWatch::Start(*loop, [&fleet] { fleet.AnnounceSoon(); });
  if (!resolvers) LogWarning(resolvers.error().Message());
  LayerMeter meter(**measuring);
  Core core(*loop, *store, *host, **background, fleet, sampler, meter);
  ApiChild api(*loop, instance->api.get(), instance->metrics ? instance->metrics.get() : -1,
               [&core](CoreRequest request, pid_t api_pid, ApiChild::Reply reply) {
                 core.Handle(std::move(request), api_pid, std::move(reply));
               });
  Status served;
  BAILEY_TRY(loop->Watch(signals->get(), EPOLLIN, [&](uint32_t) { loop->Stop(); }));
  BAILEY_TRY(fleet.Load([&] {
    served = api.Start();
    if (!served) return loop->Stop();
    LogInfo("serving at " + host->paths.ApiSocket());
  }));
  loop->Run();
  LogInfo("ends; the tenants go on");
  return served;
}

int Main(int argc, char** argv) {
  SetLogName("baileyd");
  if (argc > 1) {
    const bool help = std::string_view(argv[1]) == "--help";
    std::fputs(kUsage, help ? stdout : stderr);
    return help ? 0 : 2;
  }
  const Status served = Serve();
  if (served) return 0;
  LogError(served.error().Message());
  if (!served.error().hint.empty()) LogError(served.error().hint);
  return 1;
}

}  // namespace
}  // namespace bailey::tenants

int main(int argc, char** argv) {
  try {
    return bailey::tenants::Main(argc, argv);
  } catch (const std::exception& failure) {
    bailey::LogError(failure.what());
    return 1;
  }
}
