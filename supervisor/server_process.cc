#include "supervisor/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/log.h"
#include "base/syscalls.h"
#include "supervisor/exit_report.h"

namespace bailey::supervisor {
namespace {

int DieWithParent(void*) { return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? 0 : errno; }

// The sanitizers' options are all that a server takes from our environment.
std::vector<std::string> ServerEnvironment() {
  std::vector<std::string> env = {"PATH=/usr/bin:/bin"};
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"})
    if (const char* value = std::getenv(name); value != nullptr)
      env.push_back(std::string(name) + "=" + value);
  return env;
}

}  // namespace

Status ServerProcess::Start(const TenantCgroup& cgroup, const Options& options, Ended ended) {
  ChildOptions child;
  child.argv = {options.path};
  child.argv.insert(child.argv.end(), options.args.begin(), options.args.end());
  child.env = ServerEnvironment();
  child.fds = options.fds;
  // A server never waits for its log.
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) return Errno("pipe2");
  UniqueFd words(pipe[0]);
  const UniqueFd their_end(pipe[1]);
  child.fds.emplace_back(their_end.get(), STDERR_FILENO);
  child.into_cgroup = cgroup.servers_fd();
  child.v1_tasks = cgroup.ServersTasks();
  child.before_exec = DieWithParent;
  child.namespaces = options.namespaces;
  auto spawned = SpawnChild(child);
  if (!spawned) return spawned.error();
  pid_ = spawned->pid;
  pidfd_ = std::move(spawned->pidfd);
  ended_ = std::move(ended);
  if (Status listening = words_.Start(std::move(words)); !listening) {
    Kill();
    return listening;
  }
  Status watched = loop_.Watch(pidfd_.get(), EPOLLIN, [this](uint32_t) {
    const int status = Reap();
    const Ended tell = std::move(ended_);  // it may start us again
    tell(status);
  });
  if (!watched) Kill();
  return watched;
}

int ServerProcess::Reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  words_.Drain();
  words_.Stop();
  loop_.Unwatch(pidfd_.get());
  pidfd_.Reset();
  pid_ = -1;
  return status;
}

bool ServerProcess::Await(std::chrono::milliseconds at_most) {
  if (!running()) return true;
  pollfd ending{pidfd_.get(), POLLIN, 0};
  if (::poll(&ending, 1, static_cast<int>(at_most.count())) <= 0) return false;
  Reap();
  return true;
}

void ServerProcess::Kill() {
  if (!running()) return;
  sys::PidfdSendSignal(pidfd_.get(), SIGKILL);
  Reap();
}

std::string DescribeExit(int wait_status) {
  if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGSYS)
    return "was ended by its own seccomp filter";
  return ExplainExit(wait_status, 0).ToString();
}

}  // namespace bailey::supervisor
