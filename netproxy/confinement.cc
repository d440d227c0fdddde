#include "netproxy/confinement.h"

#include <grp.h>
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <memory>
#include <string>
#include <utility>

#include "base/capabilities.h"
#include "base/namespaces.h"
#include "base/seccomp_filter.h"

namespace bailey::netproxy {
namespace {

#ifdef BAILEY_SANITIZE
constexpr uint32_t kOtherwise = SCMP_ACT_LOG;  // the sanitizers' runtime has calls of its own
#else
constexpr uint32_t kOtherwise = SCMP_ACT_KILL_PROCESS;
#endif

struct AllowedCall {
  const char* name;
  const char* reason;
};
constexpr AllowedCall kAllowed[] = {
    {"epoll_wait", "the loop"},
    {"epoll_pwait", "the loop, on arm64"},
    {"epoll_ctl", "the loop"},
    {"accept4", "connections"},
    {"bind", "the tenant's IP as source"},
    {"connect", "connections"},
    {"getsockname", "the original destination, the check of the source"},
    {"getpeername", "the client"},
    {"getsockopt", "SO_ERROR"},
    {"shutdown", "half-close"},
    {"recvfrom", "data"},
    {"recvmsg", "datagrams, the supervisor's messages"},
    {"sendto", "data"},
    {"sendmsg", "datagrams, messages to the supervisor"},
    {"recvmmsg", "datagrams, many at once"},
    {"sendmmsg", "datagrams, many at once"},
    {"splice", "bulk data"},
    {"pipe2", "bulk data"},
    {"fcntl", "pipe sizes, O_NONBLOCK"},
    {"read", "data"},
    {"write", "the log"},
    {"writev", "the log"},
    {"close", "descriptors"},
    {"brk", "memory"},
    {"munmap", "memory"},
    {"mremap", "memory"},
    {"madvise", "memory"},
    {"futex", "the C++ runtime"},
    {"clock_gettime", "timers, where the vDSO does not serve"},
    {"gettimeofday", "likewise"},
    {"getrandom", "DNS ids, hash seeds"},
    {"getpid", "abort()"},
    {"gettid", "abort()"},
    {"tgkill", "abort()"},
    {"rt_sigprocmask", "abort()"},
    {"rt_sigaction", "abort()"},
    {"rt_sigreturn", "signals"},
    {"restart_syscall", "after SIGSTOP and SIGCONT"},
    {"exit", "the end"},
    {"exit_group", "the end"},
};
constexpr bpf_cmd kMapCommands[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
                                    BPF_MAP_GET_NEXT_KEY};
constexpr int kIpv6HdrIncl = 36;  // IPV6_HDRINCL of linux/in6.h
constexpr int kFamilies[] = {AF_INET, AF_INET6};

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

// Adds one rule; a call that this architecture does not have is none.
template <class... Comparison>
Status Allow(const Context& context, const char* name, Comparison... comparison) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return Errno(std::string("unknown system call ") + name, EINVAL);
  if (number < 0) return {};
  const int error =
      seccomp_rule_add(context.get(), SCMP_ACT_ALLOW, number, sizeof...(comparison), comparison...);
  if (error != 0) return Errno(std::string("allow ") + name, -error);
  return {};
}

Result<SeccompProgram> CompileFilter() {
  const Context context(seccomp_init(kOtherwise), seccomp_release);
  if (context == nullptr) return Errno("seccomp_init", ENOMEM);
  for (const AllowedCall& call : kAllowed) BAILEY_TRY(Allow(context, call.name));
  for (const int family : kFamilies)
    BAILEY_TRY(Allow(context, "socket", SCMP_A0_32(SCMP_CMP_EQ, static_cast<uint32_t>(family))));
  for (const bpf_cmd command : kMapCommands)  // live changes of the policy
    BAILEY_TRY(Allow(context, "bpf", SCMP_A0_32(SCMP_CMP_EQ, command)));
  // A raw socket must not learn to write IP headers of its own, with any source in them.
  for (const auto& [level, forbidden] : {std::pair(SOL_IP, IP_HDRINCL), {SOL_IPV6, kIpv6HdrIncl}})
    BAILEY_TRY(Allow(context, "setsockopt", SCMP_A1_32(SCMP_CMP_EQ, static_cast<uint32_t>(level)),
                     SCMP_A2_32(SCMP_CMP_NE, static_cast<uint32_t>(forbidden))));
  for (const int level : {SOL_SOCKET, SOL_TCP, SOL_UDP})
    BAILEY_TRY(Allow(context, "setsockopt", SCMP_A1_32(SCMP_CMP_EQ, static_cast<uint32_t>(level))));
  for (const char* name : {"mmap", "mprotect"})
    BAILEY_TRY(Allow(context, name, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  return SeccompProgram::Compile(context.get());
}

Status BecomeUser(uint32_t uid) {
  // The bounding set first: it needs a capability itself.
  if (DropBoundingSet(0) != 0) return Errno("drop the bounding set");
  if (::setgroups(0, nullptr) != 0) return Errno("setgroups");
  if (::setresgid(uid, uid, uid) != 0) return Errno("setresgid");
  if (::setresuid(uid, uid, uid) != 0) return Errno("setresuid");
  if (SetCapabilities(0) != 0) return Errno("capset");
  return {};
}

Status CheckUser(uint32_t uid) {
  std::array<uid_t, 3> uids{};
  std::array<gid_t, 3> gids{};
  if (::getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
      ::getresgid(&gids[0], &gids[1], &gids[2]) != 0)
    return Errno("read the ids");
  for (size_t i = 0; i < uids.size(); ++i)
    if (uids[i] != uid || gids[i] != uid) return Errno("ids are left after the drop", EPERM);
  if (::getgroups(0, nullptr) != 0) return Errno("groups are left after the drop", EPERM);
  if (::setresuid(0, 0, 0) == 0) return Errno("root can be regained", EPERM);
  return DropCapabilities(0);  // reads all five sets back
}

Status Seal() {
  const rlimit none{};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return Errno("RLIMIT_CORE");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Errno("PR_SET_DUMPABLE");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Errno("PR_SET_NO_NEW_PRIVS");
  if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    return Errno("the process is not sealed", EPERM);
  return {};
}

}  // namespace

Status Confine(uint32_t uid) {
  if (uid == 0) return Errno("a proxy cannot run as root", EINVAL);
  const auto filter = CompileFilter();
  if (!filter) return filter.error();
  ::tzset();  // else the first gmtime_r, for a line of the log, would open /etc/localtime
  BAILEY_TRY(EnterEmptyRoot());
  BAILEY_TRY(BecomeUser(uid));
  BAILEY_TRY(CheckUser(uid));
  BAILEY_TRY(Seal());
  if (filter->Load(0) != 0) return Errno("load the seccomp filter");
  return {};
}

}  // namespace bailey::netproxy
