// Nested namespaces would give capabilities over kernel code that a tenant otherwise never reaches.
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tenants/probe/report.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "namespaces";

struct Kind {
  const char* name;
  unsigned long flag;
};
constexpr auto kKinds = std::to_array<Kind>({{"user", CLONE_NEWUSER},
                                             {"mnt", CLONE_NEWNS},
                                             {"net", CLONE_NEWNET},
                                             {"pid", CLONE_NEWPID},
                                             {"ipc", CLONE_NEWIPC},
                                             {"uts", CLONE_NEWUTS},
                                             {"cgroup", CLONE_NEWCGROUP},
                                             {"time", CLONE_NEWTIME}});

int Clone(unsigned long flags) {
  const long pid = ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  if (pid < 0) return errno;
  ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return kThrough;
}

int Clone3() {
  clone_args args{};
  args.flags = CLONE_NEWUSER;
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) ::_exit(0);
  if (pid < 0) return errno;
  ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return kThrough;
}

int Join(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  return ResultOf(::syscall(SYS_setns, fd, 0));
}

}  // namespace

void TryNamespaces(Report& report, const Options&) {
  for (const Kind& kind : kKinds) {
    const std::string name = kind.name;
    report.Denied(kWall, "unshare " + name, {EPERM, ENOSPC},
                  [&kind] { return ResultOf(::syscall(SYS_unshare, kind.flag)); });
    // CLONE_NEWTIME lies in the byte of clone(2)'s exit signal.
    if (kind.flag != CLONE_NEWTIME)
      report.Denied(kWall, "clone with a new " + name, {EPERM, ENOSPC},
                    [&kind] { return Clone(kind.flag); });
    report.Denied(kWall, "join " + name + " of init", {EPERM, EACCES, EINVAL},
                  [&name] { return Join("/proc/1/ns/" + name); });
  }
  report.Denied(kWall, "clone3 with a new user namespace", {ENOSYS, EPERM, ENOSPC}, Clone3);
  for (const char* name : {"user", "mnt", "net", "pid", "ipc", "uts", "cgroup", "time"}) {
    const std::string path = std::string("/proc/sys/user/max_") + name + "_namespaces";
    const std::string text = ReadText(path);
    const std::string value = text.substr(0, text.find('\n'));
    report.Fact(kWall, path, "0", value.empty() ? "unreadable" : value, value == "0");
  }
}

}  // namespace bailey::probe
