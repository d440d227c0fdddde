#include "tenants/api/confinement.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <memory>

#include "base/capabilities.h"
#include "base/namespaces.h"
#include "base/seccomp_filter.h"

namespace bailey::tenants {
namespace {

// Sorted by purpose. No call here makes a descriptor but accept4 (and the core's SCM_RIGHTS).
constexpr auto kCalls = std::to_array<const char*>({
    // clients, the core, and what the core attaches
    "accept4",
    "close",
    "fcntl",
    "fstat",
    "getsockopt",
    "lseek",
    "newfstatat",
    "pread64",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "write",
    "writev",
    // Asio's loop
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "eventfd2",
    "poll",
    "ppoll",
    "timerfd_settime",
    // the C++ runtime
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "madvise",
    "mremap",
    "munmap",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "tgkill",
    "time",
#ifdef BAILEY_SANITIZE
    // the sanitizers' own memory, stacks and signals; a pipe to try whether an address is readable
    "getrlimit",
    "mprotect",
    "pipe2",
    "prctl",
    "prlimit64",
    "sched_getaffinity",
    "sigaltstack",
#endif
});

struct ArgumentRule {
  const char* name;
  scmp_arg_cmp condition;
};

// Memory that can be executed, and ioctls of anything but sockets' state, have no use here.
const auto kArgumentRules = std::to_array<ArgumentRule>({
    {"mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
#ifndef BAILEY_SANITIZE
    {"mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
    {"prctl", SCMP_A0(SCMP_CMP_EQ, PR_GET_SECCOMP)},
#endif
    {"ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, FIONBIO)},
    {"ioctl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, FIONREAD)},
});

Result<SeccompProgram> CompileFilter() {
  const std::unique_ptr<void, decltype(&seccomp_release)> filter(
      seccomp_init(SCMP_ACT_KILL_PROCESS), seccomp_release);
  if (filter == nullptr) return Errno("seccomp_init", ENOMEM);
  for (const char* name : kCalls) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) return Errno(std::string("unknown system call ") + name, EINVAL);
    if (number < 0) continue;
    if (const int error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0); error != 0)
      return Errno(std::string("allow ") + name, -error);
  }
  for (const ArgumentRule& rule : kArgumentRules) {
    const int number = seccomp_syscall_resolve_name(rule.name);
    if (const int error =
            seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, number, 1, &rule.condition);
        error != 0)
      return Errno(std::string("allow ") + rule.name, -error);
  }
  return SeccompProgram::Compile(filter.get());
}

Status LimitResources() {
  constexpr rlimit kFiles{1024, 1024};
  constexpr rlimit kNone{0, 0};
  if (::setrlimit(RLIMIT_NOFILE, &kFiles) != 0) return Errno("limit the open files");
  if (::setrlimit(RLIMIT_CORE, &kNone) != 0) return Errno("limit core dumps");
  return {};
}

Status BecomeNobody(uid_t uid) {
  if (uid == 0) return Invalid("the API process may not run as root");
  if (::setgroups(0, nullptr) != 0) return Errno("setgroups");
  if (::setresgid(uid, uid, uid) != 0) return Errno("setresgid");
  if (::setresuid(uid, uid, uid) != 0) return Errno("setresuid");
  // setresuid has cleared it already; other processes of that uid are not to trace us.
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return Errno("PR_SET_DUMPABLE");
  if (::getuid() != uid || ::geteuid() != uid || ::setuid(0) == 0)
    return Errno("the uid can be changed back", EPERM);
  return {};
}

// Every wall is looked at from inside before a client may come.
Status CheckWalls() {
  if (UniqueFd(::open("/etc/passwd", O_RDONLY | O_CLOEXEC)) || errno != ENOENT)
    return Errno("the root is not empty", EPERM);
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return Errno("no_new_privs is off", EPERM);
  return {};
}

}  // namespace

Status ConfineApiProcess(uid_t uid) {
  auto filter = CompileFilter();
  if (!filter) return filter.error();
  ::tzset();  // opens /etc/localtime, at the first line of the log otherwise
  BAILEY_TRY(LimitResources());
  if (::unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) return Errno("unshare");
  BAILEY_TRY(EnterEmptyRoot());
  // The bounding set needs CAP_SETPCAP, the uid CAP_SETUID: in this order.
  if (DropBoundingSet(0) != 0) return Errno("drop the bounding set");
  BAILEY_TRY(BecomeNobody(uid));
  BAILEY_TRY(DropCapabilities(0));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Errno("PR_SET_NO_NEW_PRIVS");
  BAILEY_TRY(CheckWalls());
  if (filter->Load(0) != 0) return Errno("load the seccomp filter");
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2) return Errno("the seccomp filter is off", EPERM);
  return {};
}

}  // namespace bailey::tenants
