#include "supervisor/file_server.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <array>

#include "supervisor/fd_arguments.h"
#include "supervisor/layer_tree.h"

namespace bailey::supervisor {
namespace {

constexpr std::chrono::milliseconds kAwaitOwnEnd{500};

}  // namespace

FileServer::~FileServer() {
  CloseReady();
  process_.Kill();
}

Status FileServer::Start(const TenantConfig& config, const TenantStore& store,
                         const TenantCgroup& cgroup, const std::string& program,
                         const std::string& point, int counters) {
  if (::mkdir(point.c_str(), 0700) != 0 && errno != EEXIST) return Errno("mkdir " + point);
  auto fuse = MountFuse(point, "bailey:" + config.name);
  if (!fuse) return fuse.error();
  fuse_ = std::move(*fuse);
  Status spawned = Spawn(config, store, cgroup, program, counters);
  // The server's alone from now on: when it dies, requests fail instead of waiting.
  fuse_.device.Reset();
  return spawned;
}

Status FileServer::Spawn(const TenantConfig& config, const TenantStore& store,
                         const TenantCgroup& cgroup, const std::string& program, int counters) {
  const auto lowers = OpenLowers(config.layers);
  if (!lowers) return lowers.error();
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  ready_.Reset(pipe[0]);
  const UniqueFd ready_write(pipe[1]);
  ServerProcess::Options options;
  options.path = program;
  options.namespaces = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET;
  FdArguments fds(options.fds, options.args);
  fds.Add("--fuse-fd", fuse_.device.get());
  for (const UniqueFd& lower : *lowers) fds.Add("--lower-fd", lower.get());
  fds.Add("--upper-fd", store.upper());
  fds.Add("--work-fd", store.work());
  fds.Add("--counters-fd", counters);
  fds.Add("--ready-fd", ready_write.get());
  for (const std::string& path : config.hide) {
    options.args.emplace_back("--hide");
    options.args.push_back(path);
  }
  options.args.emplace_back("--confine");
  BAILEY_TRY(loop_.Watch(ready_.get(), EPOLLIN, [this](uint32_t) { OnReady(); }));
  return process_.Start(cgroup, options, [this](int status) {
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
}

}  // namespace bailey::supervisor
