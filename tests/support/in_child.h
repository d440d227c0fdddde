// Runs a test body in a forked child, where what cannot be undone (namespaces, dropped
// capabilities, a new root) harms nobody. Failures of the child's EXPECTs fail the calling test.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

namespace bailey {

// `unshare_flags`: CLONE_NEW… for the child, 0 for none.
template <class Body>
void InChild(int unshare_flags, Body body) {
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    if (unshare_flags != 0 && ::unshare(unshare_flags) != 0) {
      std::perror("unshare");
      ::_exit(2);
    }
    body();
    std::fflush(nullptr);
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "see the child's messages above";
}

}  // namespace bailey
