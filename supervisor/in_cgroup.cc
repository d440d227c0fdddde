#include "supervisor/in_cgroup.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/syscalls.h"

namespace bailey::supervisor {
namespace {

struct Report {
  int fd, error;
};

[[noreturn]] void Make(Report& report, const std::function<Result<UniqueFd>()>& make) {
  auto made = make();
  if (made)
    report = {made->Release(), 0};  // it is the parent's as well
  else
    report = {-1, made.error().Errno()};
  ::_exit(0);
}

}  // namespace

Result<UniqueFd> MadeInCgroup(int cgroup, const std::function<Result<UniqueFd>()>& make) {
  void* const shared =
      ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return Errno("mmap");
  auto* const report = static_cast<Report*>(shared);
  *report = {-1, ECHILD};
  clone_args args{};
  args.flags = CLONE_FILES | CLONE_INTO_CGROUP;
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<uint64_t>(cgroup);
  const pid_t pid = sys::Clone3(args);
  if (pid == 0) Make(*report, make);
  const int clone_error = errno;
  while (pid > 0 && ::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  const Report made = *report;
  ::munmap(shared, sizeof(Report));
  if (pid < 0) return Errno("clone3 into a group", clone_error);
  if (made.fd < 0) return Errno("make a descriptor in a group", made.error);
  return UniqueFd(made.fd);
}

}  // namespace bailey::supervisor
