#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "base/unique_fd.h"
#include "tenants/templates/foreign_program.h"

namespace bailey::tenants {
namespace {

// Nobody else would know that it still writes a template.
TEST(ForeignProgram, DiesWithWhoRunsIt) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  const pid_t runner = ::fork();
  if (runner == 0) {
    ForeignProgram program;
    program.argv = {"/bin/sh", "-c", "echo >&0; exec sleep 1000"};
    program.input = write_end.get();
    static_cast<void>(RunForeign(program));
    ::_exit(1);
  }
  write_end.Reset();
  char byte = 0;
  ASSERT_EQ(::read(read_end.get(), &byte, 1), 1);
  ASSERT_EQ(::kill(runner, SIGKILL), 0);
  ::waitpid(runner, nullptr, 0);
  pollfd ended{read_end.get(), POLLIN, 0};  // its end of the pipe closes
  EXPECT_EQ(::poll(&ended, 1, 10'000), 1);
  EXPECT_EQ(::read(read_end.get(), &byte, 1), 0);
}

}  // namespace
}  // namespace bailey::tenants
