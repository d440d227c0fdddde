// What base/ does to a process for good: an empty root, no capabilities, a filter, another network.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>

#include "base/capabilities.h"
#include "base/files.h"
#include "base/namespaces.h"
#include "base/seccomp_filter.h"
#include "tests/support/in_child.h"

namespace bailey {
namespace {

ino_t NetnsId() {
  struct stat status {};
  EXPECT_EQ(::stat("/proc/thread-self/ns/net", &status), 0);
  return status.st_ino;
}

TEST(EmptyRoot, NoPathLeadsAnywhere) {
  InChild(0, [] {
    const auto kept = OpenPath("/etc/passwd", O_RDONLY);
    const auto directory = OpenPath("/usr", O_PATH | O_DIRECTORY);
    ASSERT_TRUE(kept && directory);
    const Status entered = EnterEmptyRoot();
    ASSERT_TRUE(entered) << entered.error().Message();
    for (const char* path : {"/etc/passwd", "/proc/self", "../../../etc", "/usr", "/dev/null"})
      EXPECT_EQ(OpenPath(path, O_RDONLY).error().Errno(), ENOENT) << path;
    EXPECT_EQ(OpenPath("/file", O_CREAT | O_RDWR, 0600).error().Errno(), EROFS);
    EXPECT_TRUE(ReadAll(kept->get())) << "what was open stays open";
    EXPECT_TRUE(OpenBeneath(directory->get(), "bin", O_PATH));
  });
}

TEST(NetnsScope, ReturnsToTheOldNamespace) {
  InChild(CLONE_NEWNET, [] {
    const auto tenant = OpenPath("/proc/self/ns/net", O_RDONLY);
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    const ino_t home = NetnsId();
    {
      auto scope = NetnsScope::Enter(tenant->get());
      ASSERT_TRUE(scope);
      EXPECT_NE(NetnsId(), home);
    }
    EXPECT_EQ(NetnsId(), home);
  });
}

TEST(Capabilities, DroppedFromAllFiveSets) {
  InChild(0, [] {
    constexpr CapabilityMask kKeep = CapabilityBit(0) | CapabilityBit(10);
    const Status dropped = DropCapabilities(kKeep);
    ASSERT_TRUE(dropped) << dropped.error().Message();
    CapabilitySets sets;
    ASSERT_EQ(ReadCapabilities(&sets), 0);
    EXPECT_EQ(sets.effective, kKeep);
    EXPECT_EQ(sets.permitted, kKeep);
    EXPECT_EQ(sets.bounding, kKeep);
    EXPECT_EQ(sets.inheritable | sets.ambient, 0U);
    EXPECT_NE(::mkdir("/proc/x", 0755), 0);
    EXPECT_EQ(::unshare(CLONE_NEWNS), -1);
    EXPECT_EQ(errno, EPERM);
  });
}

TEST(Seccomp, WhatIsNotListedKills) {
  const auto program =
      SeccompProgram::AllowOnly({"write", "exit_group", "rt_sigreturn"}, SCMP_ACT_KILL_PROCESS);
  ASSERT_TRUE(program);
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (program->Load(0) != 0) ::_exit(3);
    ::getuid();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSYS);
  EXPECT_FALSE(SeccompProgram::AllowOnly({"no_such_call"}, SCMP_ACT_KILL_PROCESS));
}

}  // namespace
}  // namespace bailey
