// The program inside the tenants of tests: static, so that it runs in an empty root. It makes one
// attempt and prints its errno (0: it succeeded), or says what it is. Attempts that must not harm
// the host if a wall is missing ask for nothing that would (wrong magic numbers, null pointers).
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>

namespace {

using Attempt = std::function<long()>;

long Write(const char* path, const char* text) {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return -1;
  const long written = ::write(file, text, std::strlen(text));
  const int error = errno;
  ::close(file);
  errno = error;
  return written;
}

long Read(const char* path) {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  char byte = 0;
  const long got = ::read(file, &byte, 1);
  if (got == 0) errno = ENODATA;
  return got == 0 ? -1 : got;
}

// Sends one rtnetlink request with an IPv4 attribute; errno as the kernel answered.
template <class Body>
long Route(int type, const Body& body, int attribute) {
  const int socket = ::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (socket < 0) return -1;
  alignas(nlmsghdr) char buffer[512] = {};
  auto* header = reinterpret_cast<nlmsghdr*>(buffer);
  header->nlmsg_len = NLMSG_LENGTH(sizeof body);
  header->nlmsg_type = static_cast<uint16_t>(type);
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
  std::memcpy(NLMSG_DATA(header), &body, sizeof body);
  auto* attr = reinterpret_cast<rtattr*>(buffer + NLMSG_ALIGN(header->nlmsg_len));
  attr->rta_type = static_cast<uint16_t>(attribute);
  attr->rta_len = RTA_LENGTH(4);
  ::inet_pton(AF_INET, "198.51.100.66", RTA_DATA(attr));
  header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + RTA_ALIGN(attr->rta_len);
  if (::send(socket, buffer, header->nlmsg_len, 0) < 0) return -1;
  alignas(nlmsghdr) char answer[4096];
  if (::recv(socket, answer, sizeof answer, 0) < 0) return -1;
  errno = -reinterpret_cast<nlmsgerr*>(NLMSG_DATA(reinterpret_cast<nlmsghdr*>(answer)))->error;
  return errno != 0 ? -1 : 0;
}

long AddAddress() {
  ifaddrmsg body{};
  body.ifa_family = AF_INET;
  body.ifa_prefixlen = 32;
  body.ifa_index = 1;
  return Route(RTM_NEWADDR, body, IFA_LOCAL);
}

long AddRoute() {
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_dst_len = 32;
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_type = RTN_UNICAST;
  return Route(RTM_NEWROUTE, body, RTA_DST);
}

long CloneWith(unsigned long flags) {
  const long pid = ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  if (pid > 0) ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return pid;
}

long Clone3() {
  clone_args args{};
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) ::_exit(0);
  return pid;
}

long Terminal(unsigned long request) {
  const int master = ::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return -1;
  int unlocked = 0;
  ::ioctl(master, TIOCSPTLCK, &unlocked);
  const int slave = ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  if (slave < 0) return -1;
  int argument = 0;
  return ::syscall(SYS_ioctl, slave, request, &argument);
}

// TIOCSTI with garbage above the 32 bits that the kernel looks at.
constexpr unsigned long kHigh = 1UL << 32;

// Fails unless what is told is plausible.
long TrySysinfo() {
  struct sysinfo told {};
  if (::syscall(SYS_sysinfo, &told) != 0) return -1;
  if (told.mem_unit == 1 && told.totalram == 64 << 20 && told.freeram < told.totalram &&
      told.procs > 0)
    return 0;
  errno = EPROTO;
  return -1;
}

long SetHostname(const char* name) { return ::sethostname(name, std::strlen(name)); }

long AsUser(uid_t uid, const Attempt& attempt) {
  if (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0) ::_exit(3);
  return attempt();
}

long RaiseFileLimit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_max += 1;
  return ::setrlimit(RLIMIT_NOFILE, &limit);
}

const std::map<std::string, Attempt>& Attempts() {
  static const std::map<std::string, Attempt> attempts = {
      {"nothing", [] { return 0L; }},
      // mounts
      {"mount", [] { return ::mount("t", "/tmp", "tmpfs", 0, nullptr); }},
      {"mount_proc", [] { return ::mount("p", "/tmp", "proc", 0, nullptr); }},
      {"mount_sysfs", [] { return ::mount("s", "/tmp", "sysfs", 0, nullptr); }},
      {"bind", [] { return ::mount("/etc", "/tmp", nullptr, MS_BIND, nullptr); }},
      {"umount_mask", [] { return ::umount2("/proc/keys", MNT_DETACH); }},
      {"umount_proc", [] { return ::umount2("/proc", MNT_DETACH); }},
      {"remount_dev", [] { return ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND, nullptr); }},
      {"umount", [] { return ::umount2("/proc/kcore", MNT_DETACH); }},
      {"remount",
       [] { return ::mount(nullptr, "/proc/sys", nullptr, MS_REMOUNT | MS_BIND, nullptr); }},
      {"pivot_root", [] { return ::syscall(SYS_pivot_root, "/", "/"); }},
      {"fsopen", [] { return ::syscall(SYS_fsopen, "tmpfs", 0); }},
      {"fsconfig", [] { return ::syscall(SYS_fsconfig, -1, 0, nullptr, nullptr, 0); }},
      {"fsmount", [] { return ::syscall(SYS_fsmount, -1, 0, 0); }},
      {"fspick", [] { return ::syscall(SYS_fspick, AT_FDCWD, "/", 0); }},
      {"open_tree", [] { return ::syscall(SYS_open_tree, AT_FDCWD, "/", 1); }},
      {"move_mount", [] { return ::syscall(SYS_move_mount, -1, "", -1, "", 0); }},
      {"mount_setattr", [] { return ::syscall(SYS_mount_setattr, -1, "", 0, nullptr, 0); }},
      // namespaces
      {"unshare_user", [] { return static_cast<long>(::unshare(CLONE_NEWUSER)); }},
      {"unshare_mnt", [] { return static_cast<long>(::unshare(CLONE_NEWNS)); }},
      {"unshare_net", [] { return static_cast<long>(::unshare(CLONE_NEWNET)); }},
      {"unshare_pid", [] { return static_cast<long>(::unshare(CLONE_NEWPID)); }},
      {"unshare_ipc", [] { return static_cast<long>(::unshare(CLONE_NEWIPC)); }},
      {"unshare_uts", [] { return static_cast<long>(::unshare(CLONE_NEWUTS)); }},
      {"unshare_cgroup", [] { return static_cast<long>(::unshare(CLONE_NEWCGROUP)); }},
      {"unshare_time", [] { return static_cast<long>(::unshare(CLONE_NEWTIME)); }},
      {"unshare_files", [] { return static_cast<long>(::unshare(CLONE_FILES)); }},
      {"clone_user", [] { return CloneWith(CLONE_NEWUSER); }},
      {"clone_net", [] { return CloneWith(CLONE_NEWNET); }},
      {"clone_parent", [] { return CloneWith(CLONE_PARENT); }},
      {"clone_plain", [] { return CloneWith(0); }},
      {"clone3", [] { return Clone3(); }},
      {"setns", [] { return long{::setns(::open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC), 0)}; }},
      // sockets
      {"raw", [] { return static_cast<long>(::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }},
      {"raw6", [] { return static_cast<long>(::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 58)); }},
      {"raw_user", [] { return AsUser(33, [] { return long{::socket(AF_INET, SOCK_RAW, 1)}; }); }},
      {"sock_packet",
       [] { return static_cast<long>(::socket(AF_INET, 10 | SOCK_CLOEXEC, 0x300)); }},
      {"packet", [] { return static_cast<long>(::socket(AF_PACKET, SOCK_RAW, 0)); }},
      {"vsock", [] { return static_cast<long>(::socket(40, SOCK_STREAM, 0)); }},
      {"vsock_high", [] { return ::syscall(SYS_socket, kHigh | 40, SOCK_STREAM, 0); }},
      {"alg", [] { return static_cast<long>(::socket(38, SOCK_SEQPACKET, 0)); }},
      {"xdp", [] { return static_cast<long>(::socket(44, SOCK_RAW, 0)); }},
      {"can", [] { return static_cast<long>(::socket(29, SOCK_RAW, 1)); }},
      {"sctp", [] { return static_cast<long>(::socket(AF_INET, SOCK_STREAM, 132)); }},
      {"seqpacket", [] { return static_cast<long>(::socket(AF_INET, SOCK_SEQPACKET, 0)); }},
      {"mptcp", [] { return static_cast<long>(::socket(AF_INET, SOCK_STREAM, 262)); }},
      {"tcp", [] { return static_cast<long>(::socket(AF_INET, SOCK_STREAM, 0)); }},
      {"udp6", [] { return static_cast<long>(::socket(AF_INET6, SOCK_DGRAM, 0)); }},
      {"ping", [] { return static_cast<long>(::socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)); }},
      {"unix", [] { return static_cast<long>(::socket(AF_UNIX, SOCK_SEQPACKET, 0)); }},
      {"rtnetlink", [] { return long{::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)}; }},
      {"audit", [] { return long{::socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)}; }},
      {"netfilter", [] { return long{::socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)}; }},
      {"uevent", [] { return long{::socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)}; }},
      {"socketpair_tipc",
       [] {
         int pair[2];
         return static_cast<long>(::socketpair(30, SOCK_STREAM, 0, pair));
       }},
      {"add_address", AddAddress},
      {"add_route", AddRoute},
      {"ip_forward", [] { return Write("/proc/sys/net/ipv4/ip_forward", "1"); }},
      // devices and files
      {"mknod_char", [] { return long{::mknod("/tmp/c", S_IFCHR | 0600, makedev(1, 1))}; }},
      {"mknod_block", [] { return long{::mknod("/tmp/b", S_IFBLK | 0600, makedev(8, 0))}; }},
      {"mknod_whiteout", [] { return long{::mknod("/tmp/w", S_IFCHR, 0)}; }},
      {"mknod_fifo", [] { return long{::mknod("/tmp/f", S_IFIFO | 0600, 0)}; }},
      {"open_by_handle", [] { return ::syscall(SYS_open_by_handle_at, -1, nullptr, 0); }},
      {"trusted_xattr",
       [] { return long{::setxattr("/etc", "trusted.overlay.opaque", "y", 1, 0)}; }},
      {"chroot", [] { return long{::chroot("/etc")}; }},
      {"read_kcore", [] { return Read("/proc/kcore"); }},
      {"read_keys", [] { return Read("/proc/keys"); }},
      {"read_init_environ", [] { return Read("/proc/1/environ"); }},
      {"open_init_exe", [] { return Read("/proc/1/exe"); }},
      {"write_core_pattern", [] { return Write("/proc/sys/kernel/core_pattern", "x"); }},
      {"write_max_user", [] { return Write("/proc/sys/user/max_user_namespaces", "9"); }},
      {"write_sysrq", [] { return Write("/proc/sysrq-trigger", "x"); }},
      {"write_sys", [] { return Write("/sys/devices/system/cpu/online", "0"); }},
      {"create_in_sys", [] { return long{::mkdir("/sys/x", 0755)}; }},
      // processes
      {"ptrace_init", [] { return ::ptrace(PTRACE_SEIZE, 1, nullptr, nullptr); }},
      {"trace_me", [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
      {"trace_me_grandchild",
       [] {
         const pid_t child = ::fork();
         if (child == 0) ::_exit(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : errno);
         int status = 0;
         ::waitpid(child, &status, 0);
         errno = WEXITSTATUS(status);
         return errno == 0 ? 0L : -1L;
       }},
      {"ptrace_child",
       [] {
         const pid_t child = ::fork();
         if (child == 0) ::pause();
         const long seized = ::ptrace(PTRACE_SEIZE, child, nullptr, nullptr);
         const int error = errno;
         ::kill(child, SIGKILL);
         errno = error;
         return seized;
       }},
      {"kill_everybody", [] { return static_cast<long>(::kill(-1, 0)); }},
      {"oom_below_zero", [] { return Write("/proc/self/oom_score_adj", "-1"); }},
      {"raise_files", RaiseFileLimit},
      {"nice", [] { return long{::setpriority(PRIO_PROCESS, 0, -5)}; }},
      {"realtime",
       [] {
         sched_param highest{50};
         return static_cast<long>(::sched_setscheduler(0, SCHED_FIFO, &highest));
       }},
      // kernel services
      {"bpf", [] { return ::syscall(SYS_bpf, 0, nullptr, 0); }},
      {"perf", [] { return ::syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
      {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0); }},
      {"io_uring_setup", [] { return ::syscall(SYS_io_uring_setup, 4, nullptr); }},
      {"io_uring_enter", [] { return ::syscall(SYS_io_uring_enter, -1, 0, 0, 0, nullptr, 0); }},
      {"io_uring_register", [] { return ::syscall(SYS_io_uring_register, -1, 0, nullptr, 0); }},
      {"add_key", [] { return ::syscall(SYS_add_key, "user", "x", "y", 1, -3); }},
      {"request_key", [] { return ::syscall(SYS_request_key, "user", "x", nullptr, 0); }},
      {"keyctl", [] { return ::syscall(SYS_keyctl, 0, -3, 0); }},
      {"fanotify", [] { return ::syscall(SYS_fanotify_init, 0, 0); }},
      {"init_module", [] { return ::syscall(SYS_init_module, nullptr, 0, ""); }},
      {"finit_module", [] { return ::syscall(SYS_finit_module, -1, "", 0); }},
      {"delete_module", [] { return ::syscall(SYS_delete_module, "bailey_no_such", 0); }},
      {"kexec_load", [] { return ::syscall(SYS_kexec_load, 0, 0, nullptr, ~0UL); }},
      {"quotactl", [] { return ::syscall(SYS_quotactl, 0x800001 << 8, "/none", 0, nullptr); }},
      {"swapon", [] { return ::syscall(SYS_swapon, "/none", 0); }},
      {"swapoff", [] { return ::syscall(SYS_swapoff, "/none"); }},
      {"acct", [] { return ::syscall(SYS_acct, "/none"); }},
      {"settimeofday", [] { return ::syscall(SYS_settimeofday, nullptr, nullptr); }},
      {"clock_settime", [] { return ::syscall(SYS_clock_settime, 99, nullptr); }},
      {"syslog", [] { return ::syscall(SYS_syslog, 10, nullptr, 0); }},
      {"vhangup", [] { return ::syscall(SYS_vhangup); }},
#ifdef SYS_iopl
      {"iopl", [] { return ::syscall(SYS_iopl, 0); }},
      {"ioperm", [] { return ::syscall(SYS_ioperm, 0, 0, 0); }},
#endif
      {"tiocsti", [] { return Terminal(TIOCSTI); }},
      {"tiocsti_high", [] { return Terminal(kHigh | TIOCSTI); }},
      {"tioclinux", [] { return Terminal(TIOCLINUX); }},
      {"tiocsetd", [] { return Terminal(TIOCSETD); }},
      {"tiocgpgrp", [] { return Terminal(TIOCOUTQ); }},
      {"setdomainname", [] { return ::syscall(SYS_setdomainname, "x", 1); }},
      {"sethostname", [] { return SetHostname("new.example"); }},
      {"sethostname_bad", [] { return SetHostname("a b"); }},
      {"sethostname_user", [] { return AsUser(33, [] { return SetHostname("x"); }); }},
      {"sethostname_fault", [] { return ::syscall(SYS_sethostname, 8, 5); }},
      {"sysinfo", [] { return TrySysinfo(); }},
      {"sysinfo_user", [] { return AsUser(33, [] { return TrySysinfo(); }); }},
      {"sysinfo_fault", [] { return ::syscall(SYS_sysinfo, 8); }},
      {"unknown", [] { return ::syscall(999); }},
      {"adjtimex",
       [] {
         char buffer[512] = {};
         return ::syscall(SYS_adjtimex, buffer);
       }},
      {"seccomp_listener",
       [] {
         // A tenant's own filter is welcome; a second listener there cannot be.
         sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
         const sock_fprog program{1, &allow};
         ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
         if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return -1L;
         return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          &program);
       }},
  };
  return attempts;
}

void PrintFile(const char* path) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) {
    std::printf("%s: %s\n", path, std::strerror(errno));
    return;
  }
  char line[4096];
  while (std::fgets(line, sizeof line, file) != nullptr) std::fputs(line, stdout);
  std::fclose(file);
}

void PrintDescriptors() {
  for (int fd = 0; fd < 1024; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) std::printf("%d ", fd);
  std::printf("\n");
}

void PrintTerminal() {
  struct stat status {};
  winsize size{};
  ::fstat(0, &status);
  ::ioctl(0, TIOCGWINSZ, &size);
  // /dev/tty opens for a session that has a controlling terminal alone.
  const int controlling = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
  std::printf("%s %ux%u owner %u mode %o group %u %s\n", ::ttyname(0), size.ws_row, size.ws_col,
              status.st_uid, status.st_mode & 0777, status.st_gid,
              controlling >= 0 ? "controls" : std::strerror(errno));
}

// On so many ports from `first` on; then says so.
void Listen(int first, int count) {
  for (int port = first; port < first + count; ++port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
    if (::listen(socket, 1) != 0) return;
  }
  std::puts("listening");
  std::fflush(stdout);
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "wait") {
    std::puts("waiting");
    std::fflush(stdout);
    for (;;) ::pause();
  }
  if (what == "orphans") {  // whom only process 1 can reap
    for (int i = 0; i < 20; ++i)
      if (::fork() == 0) {
        if (::fork() == 0) ::usleep(1000);
        ::_exit(0);
      }
    while (::wait(nullptr) > 0) {
    }
    ::usleep(100'000);
    std::puts("orphaned");
    std::fflush(stdout);
    for (;;) ::pause();
  }
  if (what == "deaf") {
    ::signal(SIGTERM, SIG_IGN);
    std::puts("deaf");
    std::fflush(stdout);
    for (;;) ::pause();
  }
  if (what == "exit") return std::atoi(argv[2]);
  if (what == "die") return ::raise(std::atoi(argv[2]));
  if (what == "cat") return PrintFile(argv[2]), 0;
  if (what == "terminal") return PrintTerminal(), 0;
  if (what == "descriptors") return PrintDescriptors(), 0;
  if (what == "whoami") {
    gid_t groups[64];
    const int count = ::getgroups(64, groups);
    std::printf("%u %u", ::getuid(), ::getgid());
    for (int i = 0; i < count; ++i) std::printf(" %u", groups[i]);
    char cwd[4096] = "?";
    std::printf("\n%s\n%s\n%s\n", ::getcwd(cwd, sizeof cwd), ::getenv("HOME"), ::getenv("PATH"));
    return 0;
  }
  if (what == "listen") return Listen(std::atoi(argv[2]), std::atoi(argv[3])), 1;
#ifdef __x86_64__
  if (what == "int80") {
    long result = 0;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");  // getpid of i386
    return 0;
  }
  if (what == "x32") return ::syscall(0x40000000 + SYS_getpid), 0;
#endif
  if (what == "spam") {
    for (int i = std::atoi(argv[2]); i > 0; --i) ::unshare(CLONE_NEWUSER);
    return 0;
  }
  const auto found = Attempts().find(what);
  if (found == Attempts().end()) return 2;
  errno = 0;
  std::printf("%d\n", found->second() < 0 ? errno : 0);
  return 0;
}
