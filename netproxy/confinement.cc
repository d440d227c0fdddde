#include "netproxy/confinement.h"

#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <ctime>
#include <utility>

#include "base/namespaces.h"
#include "base/seccomp_filter.h"
#include "netproxy/seccomp_rules.h"
#include "netproxy/unprivileged.h"

namespace bailey::netproxy {
namespace {

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

Result<SeccompProgram> CompileFilter() {
  const SeccompContext context(seccomp_init(kOtherwise), seccomp_release);
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
  BAILEY_TRY(AllowDataMemory(context));
  return SeccompProgram::Compile(context.get());
}

}  // namespace

Status Confine(uint32_t uid) {
  const auto filter = CompileFilter();
  if (!filter) return filter.error();
  ::tzset();  // else the first gmtime_r, for a line of the log, would open /etc/localtime
  BAILEY_TRY(EnterEmptyRoot());
  BAILEY_TRY(BecomeUnprivileged(uid));
  if (filter->Load(0) != 0) return Errno("load the seccomp filter");
  return {};
}

}  // namespace bailey::netproxy
