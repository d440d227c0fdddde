#include "supervisor/open_in_child.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "base/syscalls.h"

namespace bailey::supervisor {
namespace {

// What a child says of its work: a descriptor's number in the shared table, or why not.
struct ChildReport {
  int fd = -1;
  int error = 0;
  std::array<char, 256> context{};
};

[[noreturn]] void RunOpener(const std::function<Result<UniqueFd>()>& body, int report_fd) {
  ChildReport report;
  Result<UniqueFd> opened = body();
  if (opened) {
    report.fd = opened->Release();
  } else {
    report.error = opened.error().Errno();
    opened.error().context.copy(report.context.data(), report.context.size() - 1);
  }
  const ssize_t n = ::write(report_fd, &report, sizeof report);
  ::_exit(n == sizeof report ? 0 : 1);
}

}  // namespace

Result<UniqueFd> OpenInChild(const std::function<Result<UniqueFd>()>& body, int cgroup) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  const UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  clone_args args{};
  args.flags = CLONE_FILES;  // no exit signal: only __WALL sees this child
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
  const pid_t pid = sys::Clone3(args);
  if (pid < 0) return Errno("clone3 of a helper");
  if (pid == 0) RunOpener(body, write_end.get());
  int status = 0;
  while (::waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
  }
  ChildReport report;
  if (status != 0 || ::read(read_end.get(), &report, sizeof report) != sizeof report)
    return Errno("run a helper", EIO);
  if (report.fd < 0) return Errno(report.context.data(), report.error);
  return UniqueFd(report.fd);
}

}  // namespace bailey::supervisor
