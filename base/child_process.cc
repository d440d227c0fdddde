#include "base/child_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/files.h"
#include "base/syscalls.h"

namespace bailey {
namespace {

enum class Step : int { kGroups, kSession, kFds, kBefore, kExec };
constexpr std::array<const char*, 5> kStepNames = {"join the cgroups", "setsid",
                                                   "arrange descriptors", "prepare", "execute"};

struct Failure {
  Step step;
  int error;
};

// Everything the child needs, made before the clone: it may not allocate.
struct Plan {
  std::vector<char*> argv, env;
  std::vector<std::pair<int, int>> fds;
  std::vector<int> tasks;
  const ChildOptions* options;
  int report;
};

[[noreturn]] void Fail(const Plan& plan, Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] const ssize_t n = ::write(plan.report, &failure, sizeof failure);
  ::_exit(127);
}

// First out of the way of every target number, then into place: the pairs may overlap in any way.
void ArrangeFds(Plan& plan) {
  int above = plan.report;
  for (const auto& [from, to] : plan.fds) above = std::max({above, from, to});
  ++above;
  const int report = ::fcntl(plan.report, F_DUPFD_CLOEXEC, above);
  if (report < 0) Fail(plan, Step::kFds);
  plan.report = report;
  for (auto& pair : plan.fds) {
    pair.first = ::fcntl(pair.first, F_DUPFD_CLOEXEC, above);
    if (pair.first < 0) Fail(plan, Step::kFds);
  }
  // Marked, not closed: the report must live until exec.
  if (sys::CloseRange(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) Fail(plan, Step::kFds);
  for (const auto& [from, to] : plan.fds)
    if (::dup2(from, to) < 0) Fail(plan, Step::kFds);
}

[[noreturn]] void RunChild(Plan& plan) {
  const ChildOptions& options = *plan.options;
  // 0 into `tasks`: this thread, without the lock that makes cgroup.procs wait for RCU.
  for (const int tasks : plan.tasks)
    if (::write(tasks, "0", 1) != 1) Fail(plan, Step::kGroups);
  if (options.new_session && ::setsid() < 0) Fail(plan, Step::kSession);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  ArrangeFds(plan);
  if (options.before_exec != nullptr)
    if (const int error = options.before_exec(options.context); error != 0) {
      errno = error;
      Fail(plan, Step::kBefore);
    }
  ::execve(plan.argv[0], plan.argv.data(), plan.env.data());
  Fail(plan, Step::kExec);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<Child> SpawnChild(const ChildOptions& options) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  Plan plan{Pointers(options.argv), Pointers(options.env), options.fds, {}, &options, pipe[1]};
  std::vector<UniqueFd> tasks;
  for (const std::string& path : options.v1_tasks) {
    auto fd = OpenPath(path, O_WRONLY);
    if (!fd) return fd.error();
    plan.tasks.push_back(fd->get());
    tasks.push_back(std::move(*fd));
  }
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | options.namespaces;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (options.into_cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(options.into_cgroup);
  }
  const pid_t pid = sys::Clone3(args);
  if (pid < 0) return Errno("clone3 for " + options.argv[0]);
  if (pid == 0) RunChild(plan);
  Child child{pid, UniqueFd(pidfd)};
  write_end.Reset();
  Failure failure{};
  ssize_t got = 0;
  do {
    got = ::read(read_end.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return child;  // closed by exec
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (got != sizeof failure) return Errno("report of " + options.argv[0], EIO);
  return Errno(std::string(kStepNames[static_cast<size_t>(failure.step)]) + " " + options.argv[0],
               failure.error);
}

std::string ProgramDirectory() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0) return ".";
  const std::string whole(path.data(), static_cast<size_t>(length));
  return whole.substr(0, whole.rfind('/'));
}

}  // namespace bailey
