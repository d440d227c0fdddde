#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <set>
#include <string>

#include "base/syscalls.h"
#include "supervisor/syscall_table.h"
#include "supervisor/tenant_filter.h"

namespace bailey::supervisor {
namespace {

#ifdef __x86_64__
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// Runs classic BPF as seccomp does: loads of the call's words, jumps and returns.
uint32_t Evaluate(const SeccompProgram& program, const seccomp_data& call) {
  uint32_t a = 0;
  const auto& code = program.instructions();
  for (size_t pc = 0; pc < code.size(); ++pc) {
    const sock_filter& i = code[pc];
    const auto jump = [&](bool taken) { pc += taken ? i.jt : i.jf; };
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<const char*>(&call) + i.k, sizeof a);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= i.k;
        break;
      case BPF_JMP | BPF_JA:
        pc += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        jump(a == i.k);
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        jump(a > i.k);
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        jump(a >= i.k);
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        ADD_FAILURE() << "instruction " << i.code;
        return SECCOMP_RET_KILL_PROCESS;
    }
  }
  ADD_FAILURE() << "the end of the program";
  return SECCOMP_RET_KILL_PROCESS;
}

seccomp_data Call(long number, std::array<uint64_t, 3> args = {}) {
  seccomp_data call{};
  call.nr = static_cast<int>(number);
  call.arch = kArchitecture;
  std::copy(args.begin(), args.end(), call.args);
  return call;
}

class Compiled : public testing::Test {
 protected:
  static const TenantFilter& Filter(const Allow& allow = {}) {
    static const auto ordinary = TenantFilter::Compile({});
    static const auto mounting = TenantFilter::Compile({.mount = true});
    return allow.mount ? *mounting : *ordinary;
  }
  // What the kernel makes of both programs: the lowest value of the two has precedence.
  static uint32_t Verdict(const seccomp_data& call, const Allow& allow = {}) {
    const uint32_t known = Evaluate(Filter(allow).known(), call);
    const uint32_t denied = Evaluate(Filter(allow).denied(), call);
    return static_cast<int32_t>(known) < static_cast<int32_t>(denied) ? known : denied;
  }
};

constexpr uint32_t kNoSys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr uint64_t kHigh = uint64_t{1} << 32;

TEST_F(Compiled, JudgesArguments) {
  struct Case {
    seccomp_data call;
    uint32_t verdict;
  };
  const std::vector<Case> cases = {
      {Call(SYS_socket, {AF_INET, SOCK_STREAM}), SECCOMP_RET_ALLOW},
      {Call(SYS_socket, {AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 17}),
       SECCOMP_RET_ALLOW},
      {Call(SYS_socket, {AF_INET, SOCK_RAW}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_socket, {AF_INET, SOCK_RAW | SOCK_CLOEXEC}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_socket, {AF_INET, kHigh | SOCK_RAW}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_socket, {kHigh | AF_INET, SOCK_RAW}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_socket, {AF_UNIX, SOCK_RAW}), SECCOMP_RET_ALLOW},
      {Call(SYS_socket, {AF_NETLINK, SOCK_RAW, 0}), SECCOMP_RET_ALLOW},
      {Call(SYS_socket, {AF_NETLINK, SOCK_RAW, 9}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_socket, {AF_NETLINK, SOCK_RAW, kHigh | 9}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_socket, {AF_NETLINK, SOCK_DGRAM, 16}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_socket, {AF_INET, SOCK_STREAM, 262}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_ioctl, {0, TIOCGWINSZ}), SECCOMP_RET_ALLOW},
      {Call(SYS_ioctl, {0, TIOCSTI}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_ioctl, {0, kHigh * 7 | TIOCSTI}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_clone, {SIGCHLD}), SECCOMP_RET_ALLOW},
      {Call(SYS_clone, {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}), SECCOMP_RET_ALLOW},
      {Call(SYS_clone, {CLONE_NEWUSER | SIGCHLD}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_clone, {CLONE_NEWNS | CLONE_NEWPID}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_unshare, {CLONE_FS}), SECCOMP_RET_ALLOW},
      {Call(SYS_unshare, {CLONE_FS | CLONE_NEWNET}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_mknodat, {0, 0, S_IFIFO | 0666}), SECCOMP_RET_ALLOW},
      {Call(SYS_mknodat, {0, 0, 0666}), SECCOMP_RET_ALLOW},
      {Call(SYS_mknodat, {0, 0, S_IFCHR | 0666}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_mknodat, {0, 0, kHigh | S_IFBLK}), SECCOMP_RET_USER_NOTIF},
      {Call(SYS_clone3), kNoSys},
      {Call(SYS_memfd_secret), kNoSys},
      {Call(1'000), kNoSys},
      {Call(SYS_mount), SECCOMP_RET_USER_NOTIF},
      {Call(462), SECCOMP_RET_ALLOW},       // mseal, which libseccomp does not know
      {Call(467), SECCOMP_RET_USER_NOTIF},  // open_tree_attr, likewise
  };
  for (size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(Verdict(cases[i].call), cases[i].verdict) << "case " << i;
}

TEST_F(Compiled, OnlyOneFlagOfNamespacesNeedsToBeSet) {
  for (const uint64_t flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC,
                              CLONE_NEWUTS, CLONE_NEWCGROUP}) {
    EXPECT_EQ(Verdict(Call(SYS_clone, {flag})), SECCOMP_RET_USER_NOTIF) << flag;
    EXPECT_EQ(Verdict(Call(SYS_unshare, {flag})), SECCOMP_RET_USER_NOTIF) << flag;
  }
  EXPECT_EQ(Verdict(Call(SYS_unshare, {CLONE_NEWTIME})), SECCOMP_RET_USER_NOTIF);
}

TEST_F(Compiled, FamiliesAreFour) {
  const std::set<int> allowed = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
  for (uint64_t family = 0; family < 64; ++family) {
    const uint32_t wanted =
        allowed.contains(static_cast<int>(family)) ? SECCOMP_RET_ALLOW : SECCOMP_RET_USER_NOTIF;
    EXPECT_EQ(Verdict(Call(SYS_socket, {family, SOCK_STREAM})), wanted) << family;
    EXPECT_EQ(Verdict(Call(SYS_socketpair, {family, SOCK_STREAM})), wanted) << family;
  }
}

TEST_F(Compiled, KillsOtherArchitectures) {
  seccomp_data call = Call(SYS_getpid);
  call.arch = AUDIT_ARCH_I386;
  EXPECT_EQ(Verdict(call), SECCOMP_RET_KILL_PROCESS);
#ifdef __x86_64__
  EXPECT_EQ(Verdict(Call(0x40000000 | SYS_getpid)), SECCOMP_RET_KILL_PROCESS);
#endif
}

TEST_F(Compiled, AMountingTenantMayMountAndNothingElse) {
  const Allow mounting{.mount = true};
  EXPECT_EQ(Verdict(Call(SYS_mount), mounting), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Verdict(Call(SYS_move_mount), mounting), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Verdict(Call(SYS_unshare, {CLONE_NEWNS}), mounting), SECCOMP_RET_USER_NOTIF);
  EXPECT_EQ(Verdict(Call(SYS_setns), mounting), SECCOMP_RET_USER_NOTIF);
}

// The listener must be able to say why: whatever the compiled filter denies has a row, and what it
// allows has none.
TEST_F(Compiled, EveryVerdictHasItsRow) {
  for (int number = 0; number < 480; ++number)
    for (const uint64_t first : {0, 1, 2, 10, 16, 40})
      for (const uint64_t second : {uint64_t{0}, uint64_t{3}, uint64_t{TIOCSTI}}) {
        const seccomp_data call = Call(number, {first, second, 9});
        const bool denied = Verdict(call) == SECCOMP_RET_USER_NOTIF;
        ASSERT_EQ(Filter().Reason(call) != nullptr, denied) << number << " " << first;
      }
}

TEST(SyscallTable, NamesCallsOnce) {
  std::set<std::string> names;
  for (const CallGroup& group : KnownCalls())
    for (const char* name : group.names) {
      EXPECT_TRUE(names.insert(name).second) << name;
#ifdef __x86_64__
      EXPECT_GE(CallNumber(name), 0) << name;
#endif
    }
  for (const DeniedCall& row : DeniedCalls({})) {
    EXPECT_NE(row.error, 0) << row.name;
    EXPECT_STRNE(row.reason, "") << row.name;
  }
}

}  // namespace
}  // namespace bailey::supervisor
