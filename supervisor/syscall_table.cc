#include "supervisor/syscall_table.h"

#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/syscalls.h"

namespace bailey::supervisor {
namespace {

constexpr auto kFiles =
    std::to_array<const char*>({"access",       "chdir",        "chmod",
                                "chown",        "chroot",       "close",
                                "close_range",  "creat",        "dup",
                                "dup2",         "dup3",         "faccessat",
                                "faccessat2",   "fchdir",       "fchmod",
                                "fchmodat",     "fchmodat2",    "fchown",
                                "fchownat",     "fcntl",        "file_getattr",
                                "file_setattr", "flock",        "fstat",
                                "fstatfs",      "ftruncate",    "futimesat",
                                "getcwd",       "getdents",     "getdents64",
                                "lchown",       "link",         "linkat",
                                "lseek",        "lstat",        "memfd_create",
                                "mkdir",        "mkdirat",      "name_to_handle_at",
                                "newfstatat",   "open",         "openat",
                                "openat2",      "readlink",     "readlinkat",
                                "rename",       "renameat",     "renameat2",
                                "rmdir",        "stat",         "statfs",
                                "statx",        "symlink",      "symlinkat",
                                "truncate",     "umask",        "unlink",
                                "unlinkat",     "utime",        "utimensat",
                                "utimes",       "getxattr",     "lgetxattr",
                                "fgetxattr",    "getxattrat",   "setxattr",
                                "lsetxattr",    "fsetxattr",    "setxattrat",
                                "listxattr",    "llistxattr",   "flistxattr",
                                "listxattrat",  "removexattr",  "lremovexattr",
                                "fremovexattr", "removexattrat"});
constexpr auto kInputOutput = std::to_array<const char*>(
    {"copy_file_range", "fadvise64",  "fallocate",    "fdatasync",     "fsync",
     "io_cancel",       "io_destroy", "io_getevents", "io_pgetevents", "io_setup",
     "io_submit",       "pipe",       "pipe2",        "pread64",       "preadv",
     "preadv2",         "pwrite64",   "pwritev",      "pwritev2",      "read",
     "readahead",       "readv",      "sendfile",     "splice",        "sync",
     "sync_file_range", "syncfs",     "tee",          "vmsplice",      "write",
     "writev"});
constexpr auto kWaiting =
    std::to_array<const char*>({"epoll_create",   "epoll_create1",   "epoll_ctl",
                                "epoll_pwait",    "epoll_pwait2",    "epoll_wait",
                                "eventfd",        "eventfd2",        "inotify_add_watch",
                                "inotify_init",   "inotify_init1",   "inotify_rm_watch",
                                "poll",           "ppoll",           "pselect6",
                                "select",         "signalfd",        "signalfd4",
                                "timerfd_create", "timerfd_gettime", "timerfd_settime"});
constexpr auto kMemory = std::to_array<const char*>({"brk",
                                                     "cachestat",
                                                     "get_mempolicy",
                                                     "madvise",
                                                     "map_shadow_stack",
                                                     "mbind",
                                                     "membarrier",
                                                     "migrate_pages",
                                                     "mincore",
                                                     "mlock",
                                                     "mlock2",
                                                     "mlockall",
                                                     "mmap",
                                                     "move_pages",
                                                     "mprotect",
                                                     "mremap",
                                                     "mseal",
                                                     "msync",
                                                     "munlock",
                                                     "munlockall",
                                                     "munmap",
                                                     "pkey_alloc",
                                                     "pkey_free",
                                                     "pkey_mprotect",
                                                     "process_madvise",
                                                     "process_mrelease",
                                                     "remap_file_pages",
                                                     "set_mempolicy",
                                                     "set_mempolicy_home_node"});
constexpr auto kProcesses = std::to_array<const char*>({"arch_prctl",
                                                        "capget",
                                                        "capset",
                                                        "execve",
                                                        "execveat",
                                                        "exit",
                                                        "exit_group",
                                                        "fork",
                                                        "get_thread_area",
                                                        "getcpu",
                                                        "getpgid",
                                                        "getpgrp",
                                                        "getpid",
                                                        "getppid",
                                                        "getpriority",
                                                        "getrlimit",
                                                        "getrusage",
                                                        "getsid",
                                                        "gettid",
                                                        "ioprio_get",
                                                        "ioprio_set",
                                                        "kcmp",
                                                        "personality",
                                                        "pidfd_getfd",
                                                        "pidfd_open",
                                                        "pidfd_send_signal",
                                                        "prctl",
                                                        "prlimit64",
                                                        "process_vm_readv",
                                                        "process_vm_writev",
                                                        "ptrace",
                                                        "reboot",
                                                        "rseq",
                                                        "sched_get_priority_max",
                                                        "sched_get_priority_min",
                                                        "sched_getaffinity",
                                                        "sched_getattr",
                                                        "sched_getparam",
                                                        "sched_getscheduler",
                                                        "sched_rr_get_interval",
                                                        "sched_setaffinity",
                                                        "sched_setattr",
                                                        "sched_setparam",
                                                        "sched_setscheduler",
                                                        "sched_yield",
                                                        "set_thread_area",
                                                        "set_tid_address",
                                                        "setpgid",
                                                        "setpriority",
                                                        "setrlimit",
                                                        "setsid",
                                                        "vfork",
                                                        "wait4",
                                                        "waitid"});
constexpr auto kIdentity = std::to_array<const char*>(
    {"getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid", "setfsgid",
     "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid",
     "setuid"});
constexpr auto kSignals = std::to_array<const char*>(
    {"alarm", "kill", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
     "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
     "sigaltstack", "tgkill", "tkill"});
constexpr auto kTime = std::to_array<const char*>(
    {"adjtimex", "clock_adjtime", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer",
     "gettimeofday", "nanosleep", "setitimer", "time", "timer_create", "timer_delete",
     "timer_getoverrun", "timer_gettime", "timer_settime", "times"});
constexpr auto kNetwork = std::to_array<const char*>(
    {"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
     "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown"});
constexpr auto kIpc = std::to_array<const char*>(
    {"futex",           "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
     "get_robust_list", "mq_getsetattr", "mq_notify",  "mq_open",     "mq_timedreceive",
     "mq_timedsend",    "mq_unlink",     "msgctl",     "msgget",      "msgrcv",
     "msgsnd",          "semctl",        "semget",     "semop",       "semtimedop",
     "set_robust_list", "shmat",         "shmctl",     "shmdt",       "shmget"});
constexpr auto kInformation =
    std::to_array<const char*>({"getrandom", "listmount", "statmount", "uname"});
constexpr auto kSelfConfinement = std::to_array<const char*>(
    {"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp"});

constexpr auto kMounts = std::to_array<const char*>(
    {"mount", "umount2", "pivot_root", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree",
     "open_tree_attr", "move_mount", "mount_setattr"});

constexpr auto kKnown = std::to_array<CallGroup>({
    {"files: the mounts and their owner decide which", kFiles},
    {"input and output on what is open", kInputOutput},
    {"waiting for descriptors and timers", kWaiting},
    {"memory: the cgroup limits it, /dev has no way to the host's", kMemory},
    {"processes: the pid namespace holds them; reboot(2) ends it and no more", kProcesses},
    {"ids: the user namespace maps only the tenant's", kIdentity},
    {"signals: to the pid namespace", kSignals},
    {"clocks: adjtimex reads, setting needs CAP_SYS_TIME of the host", kTime},
    {"sockets that socket(2), below, has let into being", kNetwork},
    {"System V and POSIX IPC: a namespace of the tenant's own", kIpc},
    {"facts that /proc gives as well", kInformation},
    {"walls that a tenant raises within its own", kSelfConfinement},
    {"mounts: denied below, unless the mount namespace is the tenant's", kMounts},
});

// Numbers that this libseccomp does not know yet; the same on every architecture.
struct NewCall {
  std::string_view name;
  int number;
};
constexpr auto kNewCalls = std::to_array<NewCall>({{"statmount", 457},
                                                   {"listmount", 458},
                                                   {"mseal", 462},
                                                   {"setxattrat", 463},
                                                   {"getxattrat", 464},
                                                   {"listxattrat", 465},
                                                   {"removexattrat", 466},
                                                   {"open_tree_attr", 467},
                                                   {"file_getattr", 468},
                                                   {"file_setattr", 469}});

// Denied whatever the arguments.
struct DeniedName {
  const char* name;
  DenialWall wall;
  const char* reason;
};
constexpr auto kDeniedNames = std::to_array<DeniedName>({
    {"setns", DenialWall::kNamespace, "other namespaces than the tenant's"},
    {"open_by_handle_at", DenialWall::kCapability, "opens any inode of a file system by number"},
    {"bpf", DenialWall::kSeccomp, "programs in the kernel"},
    {"perf_event_open", DenialWall::kSeccomp, "samples the kernel; a history of root exploits"},
    {"userfaultfd", DenialWall::kSeccomp, "stops the kernel in the middle of a copy"},
    {"io_uring_setup", DenialWall::kSeccomp, "operations that no seccomp filter sees"},
    {"io_uring_enter", DenialWall::kSeccomp, "as io_uring_setup"},
    {"io_uring_register", DenialWall::kSeccomp, "as io_uring_setup"},
    {"add_key", DenialWall::kSeccomp, "keyrings are not namespaced"},
    {"request_key", DenialWall::kSeccomp, "starts the host's request-key program"},
    {"keyctl", DenialWall::kSeccomp, "keyrings are not namespaced"},
    {"fanotify_init", DenialWall::kCapability, "watches whole file systems"},
    {"fanotify_mark", DenialWall::kCapability, "watches whole file systems"},
    {"init_module", DenialWall::kCapability, "code in the kernel"},
    {"finit_module", DenialWall::kCapability, "code in the kernel"},
    {"delete_module", DenialWall::kCapability, "the host's modules"},
    {"kexec_load", DenialWall::kCapability, "another kernel"},
    {"kexec_file_load", DenialWall::kCapability, "another kernel"},
    {"quotactl", DenialWall::kCapability, "quotas of the host's file systems"},
    {"quotactl_fd", DenialWall::kCapability, "quotas of the host's file systems"},
    {"swapon", DenialWall::kCapability, "the host's swap"},
    {"swapoff", DenialWall::kCapability, "the host's swap"},
    {"acct", DenialWall::kCapability, "the host's accounting file"},
    {"settimeofday", DenialWall::kCapability, "the host's clock"},
    {"clock_settime", DenialWall::kCapability, "the host's clock"},
    {"iopl", DenialWall::kCapability, "the host's ports"},
    {"ioperm", DenialWall::kCapability, "the host's ports"},
    {"syslog", DenialWall::kCapability, "the host's kernel log, where dmesg_restrict is 0"},
    {"vhangup", DenialWall::kCapability, "terminals of others"},
    {"sethostname", DenialWall::kCapability, "the supervisor sets it, where [allow] lets it"},
    {"sysinfo", DenialWall::kSeccomp, "the host's memory and load: the supervisor tells its own"},
    {"setdomainname", DenialWall::kCapability, "nothing uses NIS names; not the tenant's to set"},
});

// Command words that ioctl(2) refuses, on whatever descriptor.
struct DeniedIoctl {
  uint64_t command;
  const char* reason;
};
constexpr auto kDeniedIoctls = std::to_array<DeniedIoctl>({
    {TIOCSTI, "types into the terminal of whoever runs the process (CVE-2017-5226)"},
    {TIOCLINUX, "types into a console by its selection buffer"},
    {TIOCSETD, "loads line disciplines: n_gsm, n_hdlc and others have been root exploits"},
});

struct NamespaceFlag {
  uint64_t flag;
  bool clone_too;  // clone(2) has its exit signal in the low byte
  const char* reason;
};
constexpr auto kNamespaceFlags = std::to_array<NamespaceFlag>({
    {CLONE_NEWUSER, true, "full capabilities within, and the kernel's least tested paths"},
    {CLONE_NEWNS, true, "mounts of its own"},
    {CLONE_NEWNET, true, "a network namespace that it would own"},
    {CLONE_NEWPID, true, "tasks that the tenant's own init cannot reap"},
    {CLONE_NEWIPC, true, "not needed, and limits of its own"},
    {CLONE_NEWUTS, true, "not needed"},
    {CLONE_NEWCGROUP, true, "not needed"},
    {CLONE_NEWTIME, false, "not needed"},
});
constexpr char kCloneParent[] =
    "a child of the caller's parent: for a program that was entered, of the supervisor's, which "
    "does not know of it";

constexpr uint64_t kInt = 0xffffffff;  // as much of a register as an int argument has
constexpr uint64_t kSocketType = 0xf;  // net/socket.h: SOCK_TYPE_MASK; above it are flags
constexpr uint64_t kFileType = S_IFMT;
constexpr int kFamilies = 64;            // AF_MAX is 46; beyond, socket(2) itself refuses
constexpr int kNetlinkProtocols = 32;    // MAX_LINKS
constexpr int kObsoleteSockPacket = 10;  // SOCK_PACKET

struct RefusedProtocol {
  uint64_t number;
  const char* reason;
};
constexpr auto kRefusedProtocols = std::to_array<RefusedProtocol>({
    {33, "DCCP: a module that loads on demand, with a history of exploits"},
    {115, "L2TP: a module that loads on demand"},
    {132, "SCTP: a module that loads on demand; the proxy does not carry it"},
    {136, "UDP-Lite: the proxy does not carry it"},
    {256, "SMC: talks to hardware of the host"},
    {262, "MPTCP: programs fall back to TCP, which is what the proxy carries"},
});

void AddSocketFamilies(std::vector<DeniedCall>& rows, const char* call) {
  for (int family = 0; family < kFamilies; ++family) {
    if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
      continue;
    const bool packet = family == AF_PACKET;
    rows.push_back({call,
                    {{0, kInt, static_cast<uint64_t>(family)}},
                    packet ? EPERM : EAFNOSUPPORT,
                    packet ? DenialWall::kCapability : DenialWall::kSeccomp,
                    "families beyond unix, inet, inet6 and netlink: vsock reaches the hypervisor "
                    "from any network namespace, others load modules"});
  }
}

void AddSockets(std::vector<DeniedCall>& rows) {
  AddSocketFamilies(rows, "socket");
  AddSocketFamilies(rows, "socketpair");
  // EPROTONOSUPPORT is what libaudit (in PAM: su, cron) takes for "there is no audit".
  for (int protocol = 1; protocol < kNetlinkProtocols; ++protocol)
    rows.push_back({"socket",
                    {{0, kInt, AF_NETLINK}, {2, kInt, static_cast<uint64_t>(protocol)}},
                    EPROTONOSUPPORT,
                    DenialWall::kSeccomp,
                    "netlink beyond rtnetlink: audit, netfilter, generic, uevents of the host"});
  for (const uint64_t family : {AF_INET, AF_INET6}) {
    for (const uint64_t type : {static_cast<int>(SOCK_RAW), kObsoleteSockPacket})
      rows.push_back({"socket",
                      {{0, kInt, family}, {1, kSocketType, type}},
                      EPERM,
                      DenialWall::kCapability,
                      "packets that the proxy has not judged"});
    for (const uint64_t type : {SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP})
      rows.push_back({"socket",
                      {{0, kInt, family}, {1, kSocketType, type}},
                      ESOCKTNOSUPPORT,
                      DenialWall::kSeccomp,
                      "types of SCTP and DCCP: modules that load on demand"});
    for (const RefusedProtocol& protocol : kRefusedProtocols)
      rows.push_back({"socket",
                      {{0, kInt, family}, {2, kInt, protocol.number}},
                      EPROTONOSUPPORT,
                      DenialWall::kSeccomp,
                      protocol.reason});
  }
}

void AddNamespaces(std::vector<DeniedCall>& rows, const Allow& allow) {
  for (const NamespaceFlag& row : kNamespaceFlags) {
    const std::vector<ArgumentTest> test = {{0, row.flag, row.flag}};
    rows.push_back({"unshare", test, EPERM, DenialWall::kNamespace, row.reason});
    if (row.clone_too) rows.push_back({"clone", test, EPERM, DenialWall::kNamespace, row.reason});
  }
  rows.push_back(
      {"clone", {{0, CLONE_PARENT, CLONE_PARENT}}, EPERM, DenialWall::kSeccomp, kCloneParent});
  if (allow.mount) return;
  for (const char* name : kMounts)
    rows.push_back({name, {}, EPERM, DenialWall::kNamespace, "the mount namespace is the host's"});
}

void AddDevices(std::vector<DeniedCall>& rows) {
  for (const uint64_t type : {S_IFCHR, S_IFBLK}) {
    const char* reason = "device nodes; and 0/0, which would be a whiteout of the file server's";
    rows.push_back({"mknod", {{1, kFileType, type}}, EPERM, DenialWall::kCapability, reason});
    rows.push_back({"mknodat", {{2, kFileType, type}}, EPERM, DenialWall::kCapability, reason});
  }
}

}  // namespace

std::span<const CallGroup> KnownCalls() { return kKnown; }

std::vector<DeniedCall> DeniedCalls(const Allow& allow) {
  std::vector<DeniedCall> rows;
  AddNamespaces(rows, allow);
  AddSockets(rows);
  AddDevices(rows);
  for (const DeniedIoctl& row : kDeniedIoctls)
    rows.push_back({"ioctl", {{1, kInt, row.command}}, EPERM, DenialWall::kSeccomp, row.reason});
  for (const DeniedName& row : kDeniedNames)
    rows.push_back({row.name, {}, EPERM, row.wall, row.reason});
  return rows;
}

bool Matches(const DeniedCall& row, std::span<const uint64_t, 6> args) {
  return std::all_of(row.tests.begin(), row.tests.end(), [&](const ArgumentTest& test) {
    return (args[test.index] & test.mask) == test.value;
  });
}

int CallNumber(const char* name) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number >= 0) return number;
  const auto* const found =
      std::find_if(kNewCalls.begin(), kNewCalls.end(),
                   [&](const NewCall& call) { return call.name == std::string_view(name); });
  return found == kNewCalls.end() ? -1 : found->number;
}

}  // namespace bailey::supervisor
