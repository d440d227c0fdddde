// What a process does to itself on the way into a tenant, each step in a child of its own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>

#include "base/files.h"
#include "supervisor/kept_capabilities.h"
#include "supervisor/namespace_owners.h"
#include "supervisor/process_limits.h"
#include "supervisor/ptrace_right.h"
#include "supervisor/walls.h"
#include "tests/support/in_child.h"

namespace bailey::supervisor {
namespace {

long SessionKeyring() {
  return ::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
}

TEST(Walls, TheTenantsRootHasNothingOfWhoeverStartedIt) {
  InChild(0, [] {
    ASSERT_GT(::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "of the host"), 0);
    const long keyring = SessionKeyring();
    const std::array<gid_t, 2> groups = {4, 7};
    ASSERT_EQ(::syscall(SYS_setgroups, groups.size(), groups.data()), 0);
    ASSERT_EQ(::setresgid(5, 5, 5), 0);
    ::umask(0);
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t blocked;
    ::sigemptyset(&blocked);
    ::sigaddset(&blocked, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &blocked, nullptr);

    WallFailure failure{};
    ASSERT_EQ(BecomeTenantRoot(&failure), 0) << WallStepName(failure.step);
    EXPECT_NE(SessionKeyring(), keyring);
    EXPECT_EQ(::getgroups(0, nullptr), 0);
    EXPECT_EQ(::getgid(), 0U);
    EXPECT_EQ(::umask(0), 022U);
    EXPECT_EQ(::signal(SIGPIPE, SIG_DFL), SIG_DFL);
    ::sigprocmask(SIG_BLOCK, nullptr, &blocked);
    EXPECT_EQ(::sigismember(&blocked, SIGTERM), 0);
  });
}

// A change of ids would make us undumpable too, but to what fs.suid_dumpable says: here is none.
TEST(Walls, TheTenantsRootCannotTraceWhoGoesIn) {
  InChild(0, [] {
    ASSERT_EQ(::prctl(PR_SET_DUMPABLE, 1), 0);
    WallFailure failure{};
    ASSERT_EQ(BecomeTenantRoot(&failure), 0);
    EXPECT_EQ(::prctl(PR_GET_DUMPABLE), 0);
  });
}

TEST(Walls, DescriptorsAreArrangedHoweverTheyOverlap) {
  InChild(0, [] {
    std::array<int, 4> made{};
    for (size_t i = 0; i < made.size(); ++i) {
      const UniqueFd file(::memfd_create("f", MFD_CLOEXEC));
      made[i] = ::fcntl(file.get(), F_DUPFD_CLOEXEC, 10);
      ASSERT_EQ(::ftruncate(made[i], static_cast<off_t>(i)), 0);
    }
    // 1 ← 0 and 0 ← 1 and so on: each number is somebody's target.
    for (size_t i = 0; i < made.size(); ++i) ASSERT_GE(::dup2(made[i], static_cast<int>(i)), 0);
    const std::array<int, 2> wanted = {1, 0};
    const std::array<int, 3> kept = {3, 2, 2};
    WallFailure failure{};
    const int arranged = ArrangeDescriptors(wanted, kept, &failure);
    // stderr is gone: whoever fails from here on says so by the exit status alone.
    const auto size = [](int fd) {
      struct stat status {};
      return ::fstat(fd, &status) == 0 ? status.st_size : -1;
    };
    const bool as_wanted = arranged == 0 && size(0) == 1 && size(1) == 0 && size(2) == 3 &&
                           size(3) == 2 && size(4) == 2 && size(5) == -1 && size(10) == -1 &&
                           ::fcntl(1, F_GETFD) == 0 && ::fcntl(2, F_GETFD) == FD_CLOEXEC &&
                           ::fcntl(4, F_GETFD) == FD_CLOEXEC;
    ::_exit(as_wanted ? 0 : 1);
  });
}

TEST(Walls, StandAndAreChecked) {
  InChild(0, [] {
    const auto filter = TenantFilter::Compile({});
    ASSERT_TRUE(filter);
    WallFailure failure{};
    ASSERT_EQ(BecomeTenantRoot(&failure), 0);
    const CapabilityMask keep = KeptCapabilityMask({});
    const UniqueFd listener(RaiseWalls(keep, *filter, &failure));
    ASSERT_TRUE(listener) << WallStepName(failure.step) << " " << failure.error;
    CapabilitySets sets;
    ASSERT_EQ(ReadCapabilities(&sets), 0);
    EXPECT_EQ(sets.effective, keep);
    EXPECT_EQ(sets.bounding, keep);
    EXPECT_EQ(::prctl(PR_GET_SECCOMP), 2);
    rlimit files{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
    EXPECT_LE(files.rlim_cur, 1024U);
  });
}

TEST(Walls, DoNotStandForAnybodyButRoot) {
  InChild(0, [] {
    const auto filter = TenantFilter::Compile({});
    ASSERT_TRUE(filter);
    ASSERT_EQ(::setresgid(5, 5, 5), 0);
    WallFailure failure{};
    EXPECT_EQ(RaiseWalls(KeptCapabilityMask({}), *filter, &failure), -1);
    EXPECT_EQ(failure.step, WallStep::kCheckIds);
  });
  InChild(0, [] {  // less than asked for is as wrong as more
    const auto filter = TenantFilter::Compile({});
    ASSERT_TRUE(filter);
    ASSERT_EQ(::prctl(PR_CAPBSET_DROP, CAP_CHOWN), 0);
    WallFailure failure{};
    EXPECT_EQ(RaiseWalls(KeptCapabilityMask({}), *filter, &failure), -1);
    EXPECT_EQ(failure.step, WallStep::kCheckCapabilities);
  });
}

TEST(ProcessLimits, AreTheTenantsWhateverTheSupervisorHas) {
  InChild(0, [] {
    // Where root may not lower it either, it is 0 or more as it is.
    CapabilitySets sets;
    ASSERT_EQ(ReadCapabilities(&sets), 0);
    const bool may_lower = (sets.effective & CapabilityBit(CAP_SYS_RESOURCE)) != 0;
    ASSERT_TRUE(WriteControl("/proc/self/oom_score_adj", may_lower ? "-500" : "500"));
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, -5), 0);
    ASSERT_EQ(SetTenantProcessLimits({}), 0);
    EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), 0);
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_CORE, &limit), 0);
    EXPECT_EQ(limit.rlim_cur, 1U);
    ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    EXPECT_LE(limit.rlim_max, 8U << 20);
    EXPECT_EQ(*ReadFile("/proc/self/oom_score_adj"), "0\n");
    // Nor can the tenant go below it, although we had.
    ASSERT_TRUE(DropCapabilities(KeptCapabilityMask({})));
    EXPECT_EQ(WriteControl("/proc/self/oom_score_adj", "-1").error().Errno(), EACCES);
  });
}

TEST(ProcessLimits, MlockLiftsThatOfLockedMemory) {
  InChild(0, [] {
    rlimit before{}, after{};
    ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &before), 0);
    ASSERT_EQ(SetTenantProcessLimits({.mlock = true}), 0);
    ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &after), 0);
    // A host that lets nobody raise it keeps its own.
    EXPECT_TRUE(after.rlim_max == RLIM_INFINITY || after.rlim_max == before.rlim_max);
  });
}

TEST(NamespaceOwners, OursAreNotATenants) {
  EXPECT_EQ(CheckNamespaceOwners(::getpid()).error().Errno(), EPERM);
}

TEST(PtraceRight, IsRaisedForMoments) {
  InChild(0, [] {
    const auto effective = [] {
      CapabilitySets sets;
      EXPECT_EQ(ReadCapabilities(&sets), 0);
      return (sets.effective & CapabilityBit(CAP_SYS_PTRACE)) != 0;
    };
    ASSERT_EQ(LowerPtraceRight(), 0);
    EXPECT_FALSE(effective());
    {
      const PtraceRightScope right;
      EXPECT_TRUE(right.raised());
      EXPECT_TRUE(effective());
    }
    EXPECT_FALSE(effective());
  });
}

}  // namespace
}  // namespace bailey::supervisor
