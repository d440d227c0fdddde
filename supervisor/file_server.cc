#include "supervisor/file_server.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>

#include "supervisor/fd_arguments.h"
#include "supervisor/layer_tree.h"

namespace bailey::supervisor {
namespace {

constexpr std::chrono::milliseconds kAwaitOwnEnd{500};
constexpr unsigned kMachineAttributes =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

}  // namespace

FileServer::~FileServer() {
  CloseReady();
  process_.Kill();
}

Status FileServer::Start(const Setup& setup) {
  const std::string& point = setup.point;
  if (::mkdir(point.c_str(), 0700) != 0 && errno != EEXIST) return Errno("mkdir " + point);
  auto fuse = MountFuse(point, "bailey:" + setup.config.name);
  if (!fuse) return fuse.error();
  fuse_ = std::move(*fuse);
  auto machine = MakeFuse("bailey-machine", kMachineAttributes);
  if (!machine) return machine.error();
  machine_ = std::move(*machine);
  Status spawned = Spawn(setup);
  // The server's alone from now on: when it dies, requests fail instead of waiting.
  fuse_.device.Reset();
  machine_.device.Reset();
  return spawned;
}

Status FileServer::Spawn(const Setup& setup) {
  const auto lowers = OpenLowers(setup.config.layers);
  if (!lowers) return lowers.error();
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  ready_.Reset(pipe[0]);
  const UniqueFd ready_write(pipe[1]);
  ServerProcess::Options options;
  options.path = setup.program;
  options.namespaces = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET;
  FdArguments fds(options.fds, options.args);
  fds.Add("--fuse-fd", fuse_.device.get());
  for (const UniqueFd& lower : *lowers) fds.Add("--lower-fd", lower.get());
  fds.Add("--upper-fd", setup.store.upper());
  fds.Add("--work-fd", setup.store.work());
  fds.Add("--counters-fd", setup.counters);
  fds.Add("--ready-fd", ready_write.get());
  fds.Add("--machine-fd", machine_.device.get());
  for (const MachineSource& source : setup.machine)
    fds.AddNamed("--machine-source", source.name, source.fd.get());
  options.args.insert(options.args.end(),
                      {"--machine-start", std::to_string(setup.started.count())});
  for (const std::string& path : setup.config.hide) {
    options.args.emplace_back("--hide");
    options.args.push_back(path);
  }
  options.args.emplace_back("--confine");
  BAILEY_TRY(loop_.Watch(ready_.get(), EPOLLIN, [this](uint32_t) { OnReady(); }));
  return process_.Start(setup.cgroup, options, [this](int status) {
    CloseReady();
    events_.died(Invalid("bailey-fs " + DescribeExit(status)));
  });
}

void FileServer::OnReady() {
  char byte = 0;
  const bool answered = ::read(ready_.get(), &byte, 1) == 1;
  CloseReady();
  if (answered) events_.ready();  // else it is about to die, which is told elsewhere
}

void FileServer::CloseReady() {
  if (!ready_) return;
  loop_.Unwatch(ready_.get());
  ready_.Reset();
}

void FileServer::Stop() {
  CloseReady();
  if (!process_.Await(kAwaitOwnEnd)) process_.Kill();
  fuse_ = FuseMount();
  machine_ = FuseMount();
}

}  // namespace bailey::supervisor
