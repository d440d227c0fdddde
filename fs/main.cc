// bailey-fs. Order: options, layers, mount, walls, tree, reader threads, seccomp, requests.
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>

#include "base/counters.h"
#include "base/log.h"
#include "base/result.h"
#include "fs/confinement.h"
#include "fs/counter_text.h"
#include "fs/daemon.h"
#include "fs/fuse_ops.h"
#include "fs/fuse_reply.h"
#include "fs/machine_server.h"
#include "fs/options.h"
#include "fs/setgid_capability.h"
#include "fs/standalone.h"
#include "fs/transport.h"
#include "fs/tree.h"

namespace bailey::fs {
namespace {

constexpr int kDetachedPatienceMs = 2000;

// Exit statuses; the last one is mount(8)'s own, which passes its helper's on.
constexpr int kFailed = 1, kWrongUse = 2, kMountFailed = 32;

// What a server is made from, whoever opened it.
struct Ingredients {
  OpenedLayers layers;
  UniqueFd device;
};

Result<Ingredients> Gather(const Options& options) {
  Ingredients made;
  if (!options.is_tenants()) {
    auto layers = OpenLayers(options);
    if (!layers) return layers.error();
    made.layers = std::move(*layers);
    return made;
  }
  made.device.Reset(options.fuse_fd);
  made.layers.upper.Reset(options.upper_fd);
  made.layers.work.Reset(options.work_fd);
  for (const int fd : options.lower_fds) made.layers.lowers.emplace_back(fd);
  return made;
}

// Directories that may be kept open: a quarter of what we may open at all.
size_t DirectoryCapacity() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 64;
  return std::clamp<size_t>(limit.rlim_cur / 4, 16, 512);
}

// The server of the machine that the tenant sees; none when it is not to see one.
Result<std::unique_ptr<MachineServer>> MakeMachine(const Options& options) {
  if (options.machine_fd < 0) return std::unique_ptr<MachineServer>();
  MachineView::Options view;
  for (const auto& [source, fd] : options.machine_sources) view.sources.Put(source, UniqueFd(fd));
  view.started = options.machine_start;
  cpu_set_t usable;
  if (::sched_getaffinity(0, sizeof usable, &usable) != 0) return Errno("sched_getaffinity");
  view.host_processors = static_cast<unsigned>(CPU_COUNT(&usable));
  return MachineServer::Make(UniqueFd(options.machine_fd), MachineView(std::move(view)));
}

// Until the connection ends, or somebody wants us to stop. `machine`: served meanwhile, or null.
Status WaitForTheEnd(const Options& options, Transport& transport, int signals,
                     MachineServer* machine) {
  bool detached = false;
  for (;;) {
    std::array<pollfd, 3> watched{pollfd{transport.ended(), POLLIN, 0}, pollfd{signals, POLLIN, 0},
                                  pollfd{machine != nullptr ? machine->device() : -1, POLLIN, 0}};
    const int patience = machine != nullptr ? machine->Patience() : -1;
    const int ready =
        ::poll(watched.data(), watched.size(), detached ? kDetachedPatienceMs : patience);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Errno("poll");
    if (machine != nullptr) machine->Run();
    if (machine != nullptr && watched[0].revents == 0 && watched[1].revents == 0) continue;
    if (watched[0].revents != 0) {
      transport.Join();
      // What runs at an ordinary exit may call what the walls forbid, and there is nothing to save.
      if (options.confine) std::_Exit(0);
      return {};
    }
    // Somebody is inside still, or nobody can unmount: the connection ends with the process.
    if (ready == 0 || options.is_tenants()) std::_Exit(0);
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) < 0) return Errno("read signalfd");
    if (::umount2(options.mount_point.c_str(), MNT_DETACH) != 0) return Errno("unmount");
    detached = true;
  }
}

Result<UniqueFd> WatchSignals() {
  sigset_t mask;
  sigemptyset(&mask);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&mask, number);
  if (::sigprocmask(SIG_BLOCK, &mask, nullptr) != 0) return Errno("sigprocmask");
  UniqueFd fd(::signalfd(-1, &mask, SFD_CLOEXEC));
  if (!fd) return Errno("signalfd");
  (void)::signal(SIGPIPE, SIG_IGN);
  return fd;
}

Status Serve(const Options& options, Daemon& daemon) {
  auto gathered = Gather(options);
  if (!gathered) return gathered.error();
  auto projection = Projection::Make(options.hidden);
  if (!projection) return projection.error();
  auto work = WorkArea::Open(std::move(gathered->layers.work));
  if (!work) return work.error();
  CounterMapping<FsCounter> counters;
  if (options.counters_fd >= 0) {
    auto mapped = CounterMapping<FsCounter>::Map(options.counters_fd, /*writable=*/true);
    if (!mapped) return mapped.error().Within("counters");
    counters = std::move(*mapped);
    ::close(options.counters_fd);
  }
  const auto machine = MakeMachine(options);
  if (!machine) return machine.error().Within("the machine's files");
  auto signals = WatchSignals();
  if (!signals) return signals.error();
  std::optional<FuseMount> mount;
  if (!options.is_tenants()) {
    auto made = FuseMount::Make(options);
    if (!made) return made.error();
    gathered->device = made->TakeDevice();
    mount.emplace(std::move(*made));
  }
  if (options.confine) BAILEY_TRY(EnterWalls());
  if (!LowerWriteCapabilities()) return Errno("lower capabilities");

  Tree tree({LayerSet(std::move(gathered->layers.upper), std::move(gathered->layers.lowers)),
             std::move(*work), std::move(*projection), gathered->device.get(), DirectoryCapacity(),
             counters.get()});
  if (const Done opened = tree.Open(); !opened)
    return Errno("read the layers' roots", opened.error().number);
  FuseServer server{tree, !options.is_tenants()};
  auto transport =
      Transport::Make(FuseOperations(), {std::move(gathered->device), &server, options.readers,
                                         [&daemon] { daemon.Ready(); }, &tree.counters()});
  if (!transport) return transport.error();
  tree.OnSuccession([&tree, &transport](const Node& node) {
    (*transport)->InvalidateAttributes(IdOf(tree, node));
  });
  BAILEY_TRY((*transport)->StartReaders());
  if (options.confine) BAILEY_TRY(AllowOnlyServing());
  (*transport)->Serve();
  if (mount) mount->Keep();
  Status ended = WaitForTheEnd(options, **transport, signals->get(), machine->get());
  tree.Abandon();
  return ended;
}

Status PrintCounters(const Options& options) {
  const auto text = AskForCounters(options.mount_point);
  if (!text) return text.error();
  std::fwrite(text->data(), 1, text->size(), stdout);
  return {};
}

Status Run(const Options& options) {
  if (options.counters) return PrintCounters(options);
  if (options.remount) return Remount(options);
  ::umask(0);
  Daemon daemon(options.ready_fd);
  if (!options.is_tenants() && !options.foreground) daemon.Detach();
  return Serve(options, daemon);
}

int Main(const std::vector<std::string>& arguments) {
  SetLogName("bailey-fs");
  const auto options = ParseOptions(arguments);
  if (!options) {
    std::fprintf(stderr, "bailey-fs: %s\n%.*s", options.error().Message().c_str(),
                 static_cast<int>(kUsage.size()), kUsage.data());
    return kWrongUse;
  }
  if (options->help) {
    std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
    return 0;
  }
  const Status done = Run(*options);
  if (done) return 0;
  const Error& error = done.error();
  LogError(error.Message() + (error.hint.empty() ? "" : " (" + error.hint + ")"));
  return options->is_mounts() ? kMountFailed : kFailed;
}

}  // namespace
}  // namespace bailey::fs

int main(int argc, char** argv) {
  try {
    return bailey::fs::Main({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    bailey::LogError(error.what());
    return 1;
  }
}
