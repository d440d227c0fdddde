// What a tenant's root gets for asking: every group of the filter's table, and what ownership and
// capabilities refuse by themselves, tried inside a real tenant, with the errno and the counter.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>

#include "base/files.h"
#include "tests/support/tenant_fixture.h"

namespace bailey::supervisor {
namespace {

constexpr SupervisorCounter kSeccomp = SupervisorCounter::kDeniedSeccomp;
constexpr SupervisorCounter kNamespace = SupervisorCounter::kDeniedNamespace;
constexpr SupervisorCounter kCapability = SupervisorCounter::kDeniedCapability;
constexpr SupervisorCounter kUncounted = SupervisorCounter::kCount;

struct Attempt {
  const char* name;
  int error;
  SupervisorCounter counter;
};

class Filter : public testing::Test {
 protected:
  static void SetUpTestSuite() { tenant_ = Started({}).release(); }
  static void TearDownTestSuite() {
    delete tenant_;
    tenant_ = nullptr;
  }

  static std::unique_ptr<TenantFixture> Started(Allow allow) {
    auto tenant = std::make_unique<TenantFixture>(allow);
    const Status started = tenant->LaunchAndStart();
    EXPECT_TRUE(started) << started.error().Message();
    return tenant;
  }

  static uint64_t Denials(const TenantFixture& tenant) {
    return tenant.Count(kSeccomp) + tenant.Count(kNamespace) + tenant.Count(kCapability);
  }

  static void Expect(TenantFixture& tenant, const Attempt& attempt) {
    SCOPED_TRACE(attempt.name);
    const uint64_t before = Denials(tenant);
    const uint64_t of_wall = attempt.counter == kUncounted ? 0 : tenant.Count(attempt.counter);
    EXPECT_EQ(tenant.Try(attempt.name), attempt.error);
    EXPECT_EQ(Denials(tenant) - before, attempt.counter == kUncounted ? 0U : 1U);
    if (attempt.counter != kUncounted) {
      EXPECT_EQ(tenant.Count(attempt.counter) - of_wall, 1U);
    }
  }

  static TenantFixture* tenant_;
};
TenantFixture* Filter::tenant_ = nullptr;

TEST_F(Filter, DeniesAndCounts) {
  constexpr auto kDenied = std::to_array<Attempt>({
      {"mount", EPERM, kNamespace},
      {"umount", EPERM, kNamespace},
      {"remount", EPERM, kNamespace},
      {"pivot_root", EPERM, kNamespace},
      {"fsopen", EPERM, kNamespace},
      {"fsconfig", EPERM, kNamespace},
      {"fsmount", EPERM, kNamespace},
      {"fspick", EPERM, kNamespace},
      {"open_tree", EPERM, kNamespace},
      {"move_mount", EPERM, kNamespace},
      {"mount_setattr", EPERM, kNamespace},
      {"unshare_user", EPERM, kNamespace},
      {"unshare_mnt", EPERM, kNamespace},
      {"unshare_net", EPERM, kNamespace},
      {"unshare_pid", EPERM, kNamespace},
      {"unshare_ipc", EPERM, kNamespace},
      {"unshare_uts", EPERM, kNamespace},
      {"unshare_cgroup", EPERM, kNamespace},
      {"unshare_time", EPERM, kNamespace},
      {"clone_user", EPERM, kNamespace},
      {"clone_net", EPERM, kNamespace},
      {"clone_parent", EPERM, kSeccomp},
      {"setns", EPERM, kNamespace},
      {"raw", EPERM, kCapability},
      {"raw6", EPERM, kCapability},
      {"sock_packet", EPERM, kCapability},
      {"packet", EPERM, kCapability},
      {"vsock", EAFNOSUPPORT, kSeccomp},
      {"vsock_high", EAFNOSUPPORT, kSeccomp},
      {"alg", EAFNOSUPPORT, kSeccomp},
      {"xdp", EAFNOSUPPORT, kSeccomp},
      {"can", EAFNOSUPPORT, kSeccomp},
      {"socketpair_tipc", EAFNOSUPPORT, kSeccomp},
      {"sctp", EPROTONOSUPPORT, kSeccomp},
      {"mptcp", EPROTONOSUPPORT, kSeccomp},
      {"seqpacket", ESOCKTNOSUPPORT, kSeccomp},
      {"audit", EPROTONOSUPPORT, kSeccomp},
      {"netfilter", EPROTONOSUPPORT, kSeccomp},
      {"uevent", EPROTONOSUPPORT, kSeccomp},
      {"mknod_char", EPERM, kCapability},
      {"mknod_block", EPERM, kCapability},
      {"mknod_whiteout", EPERM, kCapability},
      {"open_by_handle", EPERM, kCapability},
      {"bpf", EPERM, kSeccomp},
      {"perf", EPERM, kSeccomp},
      {"userfaultfd", EPERM, kSeccomp},
      {"io_uring_setup", EPERM, kSeccomp},
      {"io_uring_enter", EPERM, kSeccomp},
      {"io_uring_register", EPERM, kSeccomp},
      {"add_key", EPERM, kSeccomp},
      {"request_key", EPERM, kSeccomp},
      {"keyctl", EPERM, kSeccomp},
      {"fanotify", EPERM, kCapability},
      {"init_module", EPERM, kCapability},
      {"finit_module", EPERM, kCapability},
      {"delete_module", EPERM, kCapability},
      {"kexec_load", EPERM, kCapability},
      {"quotactl", EPERM, kCapability},
      {"swapon", EPERM, kCapability},
      {"swapoff", EPERM, kCapability},
      {"acct", EPERM, kCapability},
      {"settimeofday", EPERM, kCapability},
      {"clock_settime", EPERM, kCapability},
      {"syslog", EPERM, kCapability},
      {"vhangup", EPERM, kCapability},
      {"setdomainname", EPERM, kCapability},
#ifdef __x86_64__
      {"iopl", EPERM, kCapability},
      {"ioperm", EPERM, kCapability},
#endif
      {"tiocsti", EPERM, kSeccomp},
      {"tiocsti_high", EPERM, kSeccomp},
      {"tioclinux", EPERM, kSeccomp},
      {"tiocsetd", EPERM, kSeccomp},
  });
  for (const Attempt& attempt : kDenied) Expect(*tenant_, attempt);
}

TEST_F(Filter, LeavesTheRestToTheKernel) {
  constexpr auto kAllowed = std::to_array<Attempt>({
      {"nothing", 0, kUncounted},
      {"unshare_files", 0, kUncounted},
      {"clone_plain", 0, kUncounted},
      {"tcp", 0, kUncounted},
      {"udp6", 0, kUncounted},
      {"ping", 0, kUncounted},
      {"unix", 0, kUncounted},
      {"rtnetlink", 0, kUncounted},
      {"mknod_fifo", 0, kUncounted},
      {"chroot", 0, kUncounted},
      {"ptrace_child", 0, kUncounted},
      {"trace_me_grandchild", 0, kUncounted},
      {"kill_everybody", 0, kUncounted},
      {"tiocgpgrp", 0, kUncounted},
      {"adjtimex", 0, kUncounted},
      // Not there at all, so that programs fall back.
      {"clone3", ENOSYS, kUncounted},
      {"unknown", ENOSYS, kUncounted},
      // Refused by who owns which namespace, by capabilities, by masks and read-only mounts.
      {"add_address", EPERM, kUncounted},
      {"add_route", EPERM, kUncounted},
      {"ip_forward", EACCES, kUncounted},
      {"trusted_xattr", EPERM, kUncounted},
      {"read_keys", ENODATA, kUncounted},
      {"read_init_environ", EACCES, kUncounted},
      {"open_init_exe", EACCES, kUncounted},
      {"write_core_pattern", EACCES, kUncounted},
      {"write_max_user", EACCES, kUncounted},
      {"write_sys", EACCES, kUncounted},
      {"create_in_sys", EROFS, kUncounted},
      {"seccomp_listener", EBUSY, kUncounted},
      {"ptrace_init", EPERM, kUncounted},
      {"trace_me", EPERM, kUncounted},  // its parent is the supervisor
      {"oom_below_zero", EACCES, kUncounted},
      {"raise_files", EPERM, kUncounted},
      {"nice", EACCES, kUncounted},
      {"realtime", EPERM, kUncounted},
  });
  for (const Attempt& attempt : kAllowed) Expect(*tenant_, attempt);
}

TEST_F(Filter, KillsForeignArchitectures) {
#ifdef __x86_64__
  for (const char* way : {"int80", "x32"}) {
    const RunResult result = tenant_->Run({"/probe", way});
    EXPECT_TRUE(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGSYS)
        << way << ": status " << result.status << " " << result.output;
  }
#endif
}

TEST_F(Filter, LetsTheTenantsRootSetItsHostname) {
  Expect(*tenant_, {"sethostname", 0, kUncounted});
  EXPECT_EQ(tenant_->Run({"/probe", "cat", "/proc/sys/kernel/hostname"}).output, "new.example\n");
  Expect(*tenant_, {"sethostname_user", EPERM, kCapability});
  Expect(*tenant_, {"sethostname_bad", EINVAL, kUncounted});
  Expect(*tenant_, {"sethostname_fault", EFAULT, kUncounted});
  const auto locked = Started({.set_hostname = false});
  Expect(*locked, {"sethostname", EPERM, kCapability});
}

TEST_F(Filter, TellsTheTenantsOwnSysinfo) {
  for (const Attempt& attempt : std::to_array<Attempt>({{"sysinfo", 0, kUncounted},
                                                        {"sysinfo_user", 0, kUncounted},
                                                        {"sysinfo_fault", EFAULT, kUncounted}}))
    Expect(*tenant_, attempt);
}

TEST_F(Filter, GrantsRawSocketsToThoseWhoHoldTheCapability) {
  const auto tenant = Started({.raw_sockets = true});
  Expect(*tenant, {"raw", 0, kUncounted});
  Expect(*tenant, {"raw6", 0, kUncounted});
  Expect(*tenant, {"raw_user", EPERM, kUncounted});
  Expect(*tenant, {"packet", EPERM, kCapability});
}

TEST_F(Filter, AMountingTenantOwnsItsMountsAndNothingMore) {
  const auto tenant = Started({.mount = true});
  for (const Attempt& attempt : std::to_array<Attempt>({
           {"mount", 0, kUncounted},
           {"bind", 0, kUncounted},
           {"umount_mask", EINVAL, kUncounted},  // locked
           {"umount_proc", EINVAL, kUncounted},
           {"remount", EPERM, kUncounted},
           {"remount_dev", EPERM, kUncounted},
           {"mount_proc", EPERM, kUncounted},  // would show what is masked
           {"mount_sysfs", EPERM, kUncounted},
           {"unshare_mnt", EPERM, kNamespace},
           {"setns", EPERM, kNamespace},
           {"mknod_char", EPERM, kCapability},
           {"add_address", EPERM, kUncounted},
           {"write_max_user", EACCES, kUncounted},
       }))
    Expect(*tenant, attempt);
  EXPECT_EQ(tenant->Run({"/probe", "cat", "/proc/sys/user/max_mnt_namespaces"}).output, "0\n");
}

TEST_F(Filter, ATenantThatSpamsWaitsAndTheLoopDoesNot) {
  EnterRequest request;
  const auto null = OpenPath("/dev/null", O_RDWR);
  request.input = request.output = request.error = null->get();
  auto spammer = tenant_->Enter({"/probe", "spam", "1000000"}, request);
  ASSERT_TRUE(spammer);
  tenant_->Watch(std::move(spammer->seccomp_listener));
  const uint64_t before = tenant_->Count(kNamespace);
  // 400 in 100 ms, then a rest of 100 ms; and no turn of the loop is long.
  const auto end = EventLoop::Clock::now() + std::chrono::milliseconds(500);
  unsigned turns = 0;
  for (; EventLoop::Clock::now() < end; ++turns)
    tenant_->loop().RunOnce(std::chrono::milliseconds(10));
  const uint64_t denied = tenant_->Count(kNamespace) - before;
  EXPECT_GT(denied, 0U);
  EXPECT_LT(denied, 2'500U);
  EXPECT_GT(turns, 20U);
  EXPECT_EQ(tenant_->Try("tcp"), 0) << "others of the tenant go on";
  EXPECT_EQ(::kill(spammer->pid, SIGKILL), 0);
  EXPECT_EQ(::waitpid(spammer->pid, nullptr, 0), spammer->pid);
}

}  // namespace
}  // namespace bailey::supervisor
