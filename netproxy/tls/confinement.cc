#include "netproxy/tls/confinement.h"

#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <ctime>

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
    {"read", "OpenSSL reads its socket"},
    {"write", "OpenSSL writes its socket; the log"},
    {"writev", "the log"},
    {"pread64", "certificates"},
    {"recvfrom", "plain text"},
    {"recvmsg", "messages"},
    {"sendto", "plain text"},
    {"sendmsg", "messages"},
    {"setsockopt", "TCP options, a reset"},
    {"getsockopt", "OpenSSL asks what kind of socket it has"},
    {"shutdown", "half-close"},
    {"close", "descriptors"},
    {"brk", "memory"},
    {"munmap", "memory"},
    {"mremap", "memory"},
    {"madvise", "memory"},
    {"futex", "OpenSSL, the C++ runtime"},
    {"clock_gettime", "timers, where the vDSO does not serve"},
    {"gettimeofday", "likewise"},
    {"time", "likewise"},
    {"getrandom", "keys"},
    {"getpid", "OpenSSL asks whether it was forked; abort()"},
    {"gettid", "abort()"},
    {"tgkill", "abort()"},
    {"rt_sigprocmask", "abort()"},
    {"rt_sigaction", "abort()"},
    {"rt_sigreturn", "signals"},
    {"restart_syscall", "after SIGSTOP and SIGCONT"},
    {"exit", "the end"},
    {"exit_group", "the end"},
};

Result<SeccompProgram> CompileFilter() {
  const SeccompContext context(seccomp_init(kOtherwise), seccomp_release);
  if (context == nullptr) return Errno("seccomp_init", ENOMEM);
  for (const AllowedCall& call : kAllowed) BAILEY_TRY(Allow(context, call.name));
  BAILEY_TRY(Allow(context, "socketpair", SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX)));
  BAILEY_TRY(AllowDataMemory(context));
  return SeccompProgram::Compile(context.get());
}

// No configuration of the host's, no engine, no file: the library as it is, with its random
// generator seeded.
Status PrepareOpenssl() {
  unsigned char byte = 0;
  if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, nullptr) != 1 ||
      RAND_bytes(&byte, 1) != 1 || RAND_priv_bytes(&byte, 1) != 1)
    return Errno("prepare OpenSSL", EIO);
  // The first context fetches all algorithms.
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_free(context);
  if (context == nullptr) return Errno("prepare OpenSSL", EIO);
  return {};
}

}  // namespace

Status ConfineTls(uint32_t uid) {
  const auto filter = CompileFilter();
  if (!filter) return filter.error();
  BAILEY_TRY(PrepareOpenssl());
  ::tzset();  // else the first gmtime_r, for a line of the log, would open /etc/localtime
  BAILEY_TRY(EnterEmptyRoot());
  BAILEY_TRY(BecomeUnprivileged(uid));
  if (filter->Load(0) != 0) return Errno("load the seccomp filter");
  return {};
}

}  // namespace bailey::netproxy
