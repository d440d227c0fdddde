#include "fs/confinement.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "base/capabilities.h"
#include "base/namespaces.h"
#include "base/seccomp_filter.h"
#include "fs/fuse_protocol.h"

namespace bailey::fs {
namespace {

constexpr CapabilityMask kKept =
    CapabilityBit(CAP_CHOWN) |         // files get their owner
    CapabilityBit(CAP_DAC_OVERRIDE) |  // the kernel has judged the tenant by its modes already
    CapabilityBit(CAP_FOWNER) |        // chmod and utimens of others' files
    CapabilityBit(CAP_FSETID) |        // effective around one chmod only (setgid_capability.h)
    CapabilityBit(CAP_SETFCAP) |       // security.capability
    CapabilityBit(CAP_MKNOD) |         // copy-up of a template's device node
    CapabilityBit(CAP_SYS_ADMIN);      // backing ids, trusted. attributes

using Calls = std::vector<const char*>;

// By what they are for.
const std::vector<Calls>& AllowedCalls() {
  static const Calls requests{"read", "write", "writev", "poll", "ppoll", "eventfd2"};
  // Always beneath a descriptor: there is no path.
  static const Calls files{"openat",  "openat2",  "close",      "newfstatat", "fstatat64",  "fstat",
                           "fstatfs", "statx",    "readlinkat", "fstatfs64",  "getdents64", "lseek",
                           "pread64", "pwrite64", "fchdir",     "umask",      "fcntl"};
  static const Calls changes{"mkdirat",   "mknodat",         "symlinkat", "linkat",
                             "unlinkat",  "renameat",        "fchown",    "renameat2",
                             "fchownat",  "utimensat",       "ftruncate", "fsync",
                             "fallocate", "copy_file_range", "fdatasync", "sendfile"};
  static const Calls attributes{"lgetxattr", "lsetxattr", "llistxattr", "lremovexattr",
                                "fgetxattr", "fsetxattr", "flistxattr", "fremovexattr"};
  static const Calls setgid{"capget", "capset"};
  static const Calls runtime{"mmap",    "munmap",        "mremap",          "mprotect",
                             "madvise", "brk",           "futex",           "sched_yield",
                             "gettid",  "clock_gettime", "sysinfo",         "getpid",
                             "tgkill",  "rt_sigaction",  "rt_sigprocmask",  "rt_sigreturn",
                             "rseq",    "exit",          "restart_syscall", "exit_group"};
#ifdef BAILEY_SANITIZE
  // sigaltstack for each thread that ends; a pipe to try whether an address is readable
  static const Calls sanitizers{"pipe2", "sigaltstack"};
#else
  static const Calls sanitizers;
#endif
  static const std::vector<Calls> all{requests, files,   changes,   attributes,
                                      setgid,   runtime, sanitizers};
  return all;
}

constexpr unsigned kIoctls[] = {
    static_cast<unsigned>(protocol::kBackingOpen),
    static_cast<unsigned>(protocol::kBackingClose),
    static_cast<unsigned>(FICLONE),
};

// Not known to libseccomp 2.5 by name.
constexpr int kFchmodat2 = 452;

Status Allow(scmp_filter_ctx context, const char* name) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return Errno(std::string("unknown call ") + name, EINVAL);
  if (number < 0) return {};  // a call of other architectures
  if (const int error = seccomp_rule_add(context, SCMP_ACT_ALLOW, number, 0); error != 0)
    return Errno(std::string("allow ") + name, -error);
  return {};
}

Result<SeccompProgram> CompileFilter() {
  const std::unique_ptr<void, decltype(&seccomp_release)> context(
      seccomp_init(SCMP_ACT_KILL_PROCESS), seccomp_release);
  if (context == nullptr) return Errno("seccomp_init", ENOMEM);
  for (const Calls& calls : AllowedCalls())
    for (const char* name : calls) BAILEY_TRY(Allow(context.get(), name));
  if (const int error = seccomp_rule_add(context.get(), SCMP_ACT_ALLOW, kFchmodat2, 0); error != 0)
    return Errno("allow fchmodat2", -error);
  for (const unsigned command : kIoctls) {
    // The kernel looks at 32 bits of the command only, and so must we.
    const int error = seccomp_rule_add(context.get(), SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffU, command));
    if (error != 0) return Errno("allow an ioctl", -error);
  }
  // For the check that the filter stands.
  if (const int error = seccomp_rule_add(context.get(), SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                         SCMP_A0(SCMP_CMP_EQ, PR_GET_SECCOMP));
      error != 0)
    return Errno("allow prctl PR_GET_SECCOMP", -error);
  return SeccompProgram::Compile(context.get());
}

// No path leads anywhere any more.
Status CheckRootIsEmpty() {
  struct stat st {};
  if (::stat("/proc", &st) == 0 || ::stat("/etc", &st) == 0)
    return Errno("the root is not empty", EPERM);
  return {};
}

}  // namespace

Status EnterWalls() {
  // A pid namespace of our own only our parent can give: bailey-supervisor does.
  if (::unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
    return Errno("unshare network, ipc and uts namespaces");
  BAILEY_TRY(EnterEmptyRoot());
  BAILEY_TRY(CheckRootIsEmpty());
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return Errno("PR_SET_DUMPABLE");
  return DropCapabilities(kKept);
}

Status AllowOnlyServing() {
  const auto filter = CompileFilter();
  if (!filter) return filter.error();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Errno("no_new_privs");
  const int loaded = filter->Load(SECCOMP_FILTER_FLAG_TSYNC);
  if (loaded > 0) return Errno("a thread has another seccomp filter", EPERM);
  if (loaded < 0) return Errno("load the seccomp filter");
  if (::prctl(PR_GET_SECCOMP) != 2) return Errno("no seccomp filter stands", EPERM);
  return {};
}

}  // namespace bailey::fs
