// One supervisor per runtime directory, against a holder in a process of its own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "supervisor/runtime_lock.h"

namespace bailey::supervisor {
namespace {

class RuntimeLockTest : public testing::Test {
 protected:
  RuntimeLockTest() {
    std::string pattern = testing::TempDir() + "lock-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
  }
  ~RuntimeLockTest() override {
    ::unlink((dir_ + "/lock").c_str());
    ::rmdir(dir_.c_str());
  }
  // A child that holds the lock, and sleeps.
  pid_t Holder() const {
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const auto lock = RuntimeLock::Open(dir_);
      if (lock && *lock->Try() && ::write(pipe[1], "x", 1) == 1) ::pause();
      ::_exit(1);
    }
    ::close(pipe[1]);
    char byte = 0;
    EXPECT_EQ(::read(pipe[0], &byte, 1), 1);
    ::close(pipe[0]);
    return child;
  }
  std::string dir_;
};

TEST_F(RuntimeLockTest, OneHolderAtATime) {
  const pid_t holder = Holder();
  const auto lock = RuntimeLock::Open(dir_);
  ASSERT_TRUE(lock);
  EXPECT_FALSE(*lock->Try());
  EXPECT_EQ(lock->Await(std::chrono::milliseconds(20)).error().Errno(), ETIMEDOUT);
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  EXPECT_TRUE(*lock->Try());
}

TEST_F(RuntimeLockTest, TakenByForce) {
  const pid_t holder = Holder();
  const auto lock = RuntimeLock::Open(dir_);
  ASSERT_TRUE(lock);
  ASSERT_TRUE(lock->TakeByForce());
  int status = 0;
  ::waitpid(holder, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(lock->TakeByForce());  // free by now: ours already
}

}  // namespace
}  // namespace bailey::supervisor
