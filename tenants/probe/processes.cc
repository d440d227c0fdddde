// Processes outside do not exist, and no tenant takes more of the machine than it was given.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "tenants/probe/report.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "processes";

// A process inside may by chance have that number: it is another one then, and proves nothing.
bool IsOneInside(int pid) {
  return ReadText("/proc/" + std::to_string(pid) + "/comm") != "bailey\n" &&
         ::access(("/proc/" + std::to_string(pid)).c_str(), F_OK) == 0;
}

int ReadMemory(int pid) {
  char byte = 0;
  iovec here{&byte, 1}, there{&byte, 1};
  return ResultOf(::process_vm_readv(pid, &here, 1, &there, 1, 0));
}

int Attach(int pid) {
  const int result = ResultOf(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr));
  if (result == kThrough) ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
  return result;
}

int RaiseLimit(int resource) {
  rlimit64 limit{};
  if (::syscall(SYS_prlimit64, 0, resource, nullptr, &limit) != 0) return errno;
  if (limit.rlim_max == RLIM64_INFINITY) return kThrough;
  limit.rlim_max += 1;
  return ResultOf(::syscall(SYS_prlimit64, 0, resource, &limit, nullptr));
}

int Write(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  return ResultOf(::write(fd, text.data(), text.size()));
}

// "/" through another process's eyes.
std::string RootOfInit() {
  struct stat own {
  }, through{};
  if (::stat("/", &own) != 0) return ResultName(errno);
  if (::stat("/proc/1/root/.", &through) != 0) return ResultName(errno);
  return own.st_dev == through.st_dev && own.st_ino == through.st_ino ? "the tenant's own"
                                                                      : "another";
}

void TryOutside(Report& report, int pid) {
  report.Denied(kWall, "signal a process of the host's", {ESRCH},
                [pid] { return ResultOf(::kill(pid, 0)); });
  report.Denied(kWall, "open a process of the host's", {ESRCH},
                [pid] { return ResultOf(::syscall(SYS_pidfd_open, pid, 0)); });
  report.Denied(kWall, "trace a process of the host's", {ESRCH, EPERM},
                [pid] { return Attach(pid); });
  report.Denied(kWall, "read memory of the host's", {ESRCH, EPERM},
                [pid] { return ReadMemory(pid); });
  report.Denied(kWall, "look at it in /proc", {ENOENT}, [pid] {
    return ResultOf(
        ::open(("/proc/" + std::to_string(pid) + "/status").c_str(), O_RDONLY | O_CLOEXEC));
  });
}

}  // namespace

void TryProcesses(Report& report, const Options& options) {
  if (options.outside_pid > 1 && !IsOneInside(options.outside_pid))
    TryOutside(report, options.outside_pid);
  report.Fact(kWall, "the parent of what is executed", "outside",
              ::getppid() == 0 ? "outside" : "inside", ::getppid() == 0);
  const std::string root = RootOfInit();
  report.Fact(kWall, "the root of init", "the tenant's own or EACCES", root,
              root == "the tenant's own" || root == "EACCES");
  report.Denied(kWall, "take a higher priority", {EACCES, EPERM},
                [] { return ResultOf(::setpriority(PRIO_PROCESS, 0, -10)); });
  report.Denied(kWall, "run in real time", {EPERM}, [] {
    const sched_param most{50};
    return ResultOf(::sched_setscheduler(0, SCHED_FIFO, &most));
  });
  report.Denied(kWall, "raise the limit of open files", {EPERM},
                [] { return RaiseLimit(RLIMIT_NOFILE); });
  report.Denied(kWall, "raise the limit of locked memory", {EPERM},
                [] { return RaiseLimit(RLIMIT_MEMLOCK); });
  report.Denied(kWall, "be spared when memory runs out", {EACCES, EPERM},
                [] { return Write("/proc/self/oom_score_adj", "-999"); });
}

}  // namespace bailey::probe
