// ServerProcess: bailey-fs or bailey-netproxy as a child of the supervisor, in the tenant's
// `servers` group. It dies with the supervisor (PR_SET_PDEATHSIG), and its end is told once. What
// it writes to stderr goes into our log, 64 KiB a second at most: more is lost. Not thread-safe;
// must not outlive the loop.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/child_process.h"
#include "base/event_loop.h"
#include "base/log.h"
#include "base/result.h"
#include "supervisor/paced_reader.h"
#include "supervisor/tenant_cgroup.h"

namespace bailey::supervisor {

class ServerProcess {
 public:
  struct Options {
    std::string path;                      // of the program
    std::vector<std::string> args;         // without argv[0]
    std::vector<std::pair<int, int>> fds;  // {ours, its number in the child}
    uint64_t namespaces = 0;               // CLONE_NEW…
  };
  using Ended = std::function<void(int wait_status)>;

  explicit ServerProcess(EventLoop& loop)
      : loop_(loop), words_(loop, kBytesPerSecond, LogForeign) {}
  ~ServerProcess() { Kill(); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // `ended` runs from the loop when the process has ended by itself or was killed by a stranger; by
  // then it is reaped and Start() may be called again.
  Status Start(const TenantCgroup& cgroup, const Options& options, Ended ended);
  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  // Waits for it to end by itself; false if it does not.
  bool Await(std::chrono::milliseconds at_most);
  // SIGKILL, and reaped. Nothing is told. Nothing happens if it does not run.
  void Kill();

 private:
  static constexpr size_t kBytesPerSecond = 64 << 10;

  int Reap();

  EventLoop& loop_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  Ended ended_;
  PacedReader words_;
};

// "exited with 1", "killed by signal 9": for a log line.
std::string DescribeExit(int wait_status);

}  // namespace bailey::supervisor
