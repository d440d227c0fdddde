// What bailey-fs leaves itself: tried from inside its walls, each in a process of its own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <csignal>
#include <functional>

#include "base/capabilities.h"
#include "base/files.h"
#include "fs/confinement.h"
#include "fs/setgid_capability.h"
#include "fs/thread_place.h"
#include "tests/support/in_child.h"

namespace bailey::fs {
namespace {

void Confine() {
  for (const Status& raised : {EnterWalls(), AllowOnlyServing()})
    if (!raised) ::_exit(100);
}

// How a process ends that does `action` behind the walls: 0, or its signal.
int EndOf(const std::function<void()>& action) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    Confine();
    action();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  if (WIFSIGNALED(status)) return WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the walls did not stand";
  return 0;
}

TEST(FsWalls, WhatServingTakesIsAllowed) {
  const auto directory = OpenPath("/tmp", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(directory);
  EXPECT_EQ(EndOf([&] {
              const int fd = directory->get();
              if (!ThreadPlace::Enter(fd)) ::_exit(1);
              const int file = ::openat(fd, "fs-walls-file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
              if (file < 0 || ::fchownat(file, "", 12, 34, AT_EMPTY_PATH) != 0) ::_exit(2);
              if (::lsetxattr("fs-walls-file", "trusted.overlay.opaque", "y", 1, 0) != 0)
                ::_exit(3);
              if (::unlinkat(fd, "fs-walls-file", 0) != 0) ::_exit(4);
            }),
            0);
}

TEST(FsWalls, WhatItDoesNotTakeKills) {
  const auto directory = OpenPath("/tmp", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(directory);
  const int fd = directory->get();
  const std::pair<const char*, std::function<void()>> denied[] = {
      {"open_by_handle_at", [&] { ::syscall(SYS_open_by_handle_at, fd, nullptr, O_RDONLY); }},
      {"name_to_handle_at", [&] { ::syscall(SYS_name_to_handle_at, fd, "", nullptr, nullptr, 0); }},
      {"socket", [] { ::socket(AF_INET, SOCK_STREAM, 0); }},
      {"execve", [] { ::execl("/bin/true", "true", nullptr); }},
      {"fork", [] { ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }},
      {"mount", [] { ::syscall(SYS_mount, "a", "b", "tmpfs", 0, nullptr); }},
      {"open_tree", [&] { ::syscall(SYS_open_tree, fd, "", 1); }},
      {"move_mount", [&] { ::syscall(SYS_move_mount, fd, "", fd, "", 4); }},
      {"setns", [&] { ::syscall(SYS_setns, fd, 0); }},
      {"unshare", [] { ::syscall(SYS_unshare, CLONE_NEWUSER); }},
      {"ptrace", [] { ::syscall(SYS_ptrace, PTRACE_SEIZE, 1, 0, 0); }},
      {"bpf", [] { ::syscall(SYS_bpf, 0, nullptr, 0); }},
      {"chroot", [] { ::syscall(SYS_chroot, "."); }},
      {"setuid", [] { ::syscall(SYS_setuid, 0); }},
      {"kill", [] { ::syscall(SYS_kill, 1, 0); }},
      {"ioctl FS_IOC_SETFLAGS", [&] { ::syscall(SYS_ioctl, fd, 0x40086602, nullptr); }},
      {"ioctl TIOCSTI", [] { ::syscall(SYS_ioctl, 0, 0x5412, ""); }},
      {"io_uring_setup", [] { ::syscall(SYS_io_uring_setup, 1, nullptr); }},
  };
  for (const auto& [name, call] : denied) EXPECT_EQ(EndOf(call), SIGSYS) << name;
}

TEST(FsWalls, OnlyTheCapabilitiesOfServingAreLeft) {
  InChild(0, [] {
    const Status entered = EnterWalls();
    ASSERT_TRUE(entered) << entered.error().Message();
    ASSERT_TRUE(LowerWriteCapabilities());
    CapabilitySets sets;
    ASSERT_EQ(ReadCapabilities(&sets), 0);
    const CapabilityMask effective = CapabilityBit(CAP_CHOWN) | CapabilityBit(CAP_DAC_OVERRIDE) |
                                     CapabilityBit(CAP_FOWNER) | CapabilityBit(CAP_SETFCAP) |
                                     CapabilityBit(CAP_MKNOD) | CapabilityBit(CAP_SYS_ADMIN);
    EXPECT_EQ(sets.effective, effective);
    EXPECT_EQ(sets.permitted, effective | CapabilityBit(CAP_FSETID));
    EXPECT_EQ(sets.inheritable | sets.ambient, 0U);
    {
      const SetgidCapability raised;
      ASSERT_EQ(ReadCapabilities(&sets), 0);
      EXPECT_EQ(sets.effective, effective | CapabilityBit(CAP_FSETID));
    }
    ASSERT_EQ(ReadCapabilities(&sets), 0);
    EXPECT_EQ(sets.effective, effective);
    struct stat st {};
    EXPECT_EQ(::stat("/proc", &st), -1);
    EXPECT_EQ(::stat("/etc", &st), -1);
  });
}

}  // namespace
}  // namespace bailey::fs
