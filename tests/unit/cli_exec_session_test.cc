// The caller's side of an exec session, with the test as the supervisor.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <thread>

#include "base/files.h"
#include "tenants/cli/exec_session.h"

namespace bailey::tenants {
namespace {

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    read.Reset(ends[0]);
    write.Reset(ends[1]);
  }
  UniqueFd read, write;
};

// The supervisor's end of the connection and the process's ends of the pipes.
class FakeSupervisor {
 public:
  FakeSupervisor() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    ours.Reset(pair[0]);
    theirs.Reset(pair[1]);
  }

  void SendEnds() {
    const std::string line = "{\"pid\":7,\"tty\":false}\n";
    const std::array<int, 3> fds = {input.write.get(), output.read.get(), error.read.get()};
    iovec data{const_cast<char*>(line.data()), line.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control{};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    std::memcpy(CMSG_DATA(c), fds.data(), sizeof fds);
    EXPECT_GT(::sendmsg(ours.get(), &header, 0), 0);
    input.write.Reset();
    output.read.Reset();
    error.read.Reset();
  }
  void Say(std::string_view line) const { EXPECT_TRUE(WriteAll(ours.get(), line)); }

  UniqueFd ours, theirs;
  Pipe input, output, error;
};

struct Seen {
  std::string out, err;
  ExecIo Io(int input) {
    return {input,
            [this](int stream, std::string_view bytes) { (stream == 1 ? out : err) += bytes; }};
  }
};

TEST(ExecSession, CarriesOutputAndStatus) {
  FakeSupervisor supervisor;
  supervisor.SendEnds();
  ASSERT_TRUE(WriteAll(supervisor.output.write.get(), "out"));
  ASSERT_TRUE(WriteAll(supervisor.error.write.get(), "err"));
  supervisor.Say("{\"exit\":42}\n");
  Seen seen;
  const auto status = RunExecSession(std::move(supervisor.theirs), seen.Io(-1));
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, 42);
  EXPECT_EQ(seen.out, "out") << "although a child of the process still has the pipe open";
  EXPECT_EQ(seen.err, "err");
}

TEST(ExecSession, LosesNothingOfALongOutput) {
  FakeSupervisor supervisor;
  supervisor.SendEnds();
  const std::string much(3 << 20, 'x');
  std::thread process([&] {
    ASSERT_TRUE(WriteAll(supervisor.output.write.get(), much));
    supervisor.Say("{\"exit\":0}\n");
  });
  Seen seen;
  const auto status = RunExecSession(std::move(supervisor.theirs), seen.Io(-1));
  process.join();
  EXPECT_EQ(*status, 0);
  EXPECT_EQ(seen.out.size(), much.size());
}

TEST(ExecSession, PassesInputOnAndItsEnd) {
  FakeSupervisor supervisor;
  supervisor.SendEnds();
  Pipe own;
  const std::string much(1 << 20, 'y');
  std::thread person([&] {
    ASSERT_TRUE(WriteAll(own.write.get(), much));
    own.write.Reset();
  });
  std::string read;
  std::thread process([&] {
    const auto all = ReadAll(supervisor.input.read.get(), 2 << 20);
    ASSERT_TRUE(all);
    read = *all;
    supervisor.Say("{\"exit\":0}\n");
  });
  Seen seen;
  EXPECT_EQ(*RunExecSession(std::move(supervisor.theirs), seen.Io(own.read.get())), 0);
  person.join();
  process.join();
  EXPECT_EQ(read.size(), much.size());
}

TEST(ExecSession, AProcessThatReadsNothingIsNoHarm) {
  FakeSupervisor supervisor;
  supervisor.SendEnds();
  supervisor.input.read.Reset();
  Pipe own;
  ASSERT_TRUE(WriteAll(own.write.get(), "input"));
  std::thread process([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    supervisor.Say("{\"exit\":3}\n");
  });
  Seen seen;
  EXPECT_EQ(*RunExecSession(std::move(supervisor.theirs), seen.Io(own.read.get())), 3);
  process.join();
}

TEST(ExecSession, WithoutInputTheProcessSeesItsEnd) {
  FakeSupervisor supervisor;
  supervisor.SendEnds();
  std::thread process([&] {
    EXPECT_EQ(*ReadAll(supervisor.input.read.get()), "");
    supervisor.Say("{\"exit\":0}\n");
  });
  Seen seen;
  EXPECT_EQ(*RunExecSession(std::move(supervisor.theirs), seen.Io(-1)), 0);
  process.join();
}

TEST(ExecSession, ForwardsSignals) {
  FakeSupervisor supervisor;
  supervisor.SendEnds();
  std::string line;
  // Signals of a process go to any thread: the session's own must be the only one here.
  const pid_t supervisor_process = ::fork();
  ASSERT_GE(supervisor_process, 0);
  if (supervisor_process == 0) {
    ::usleep(100'000);
    ::kill(::getppid(), SIGTERM);
    std::array<char, 64> bytes{};
    const ssize_t got = ::read(supervisor.ours.get(), bytes.data(), bytes.size());
    const bool right = std::string_view(bytes.data(), static_cast<size_t>(got > 0 ? got : 0)) ==
                       "{\"signal\":15}\n";
    supervisor.Say(right ? "{\"exit\":143}\n" : "{\"exit\":1}\n");
    ::_exit(0);
  }
  Seen seen;
  EXPECT_EQ(*RunExecSession(std::move(supervisor.theirs), seen.Io(-1)), 143);
  ::waitpid(supervisor_process, nullptr, 0);
}

TEST(ExecSession, ShowsWhyNothingWasExecuted) {
  FakeSupervisor supervisor;
  supervisor.Say("{\"exit\":127,\"error\":\"nope: No such file or directory\"}\n");
  Seen seen;
  EXPECT_EQ(*RunExecSession(std::move(supervisor.theirs), seen.Io(-1)), 127);
  EXPECT_NE(seen.err.find("nope"), std::string::npos);
}

TEST(ExecSession, AnEndWithoutStatusIsAFailure) {
  FakeSupervisor supervisor;
  supervisor.SendEnds();
  supervisor.ours.Reset();
  Seen seen;
  EXPECT_FALSE(RunExecSession(std::move(supervisor.theirs), seen.Io(-1)));
}

TEST(ExecSession, EndsWithoutTheirLineAreAFailure) {
  FakeSupervisor supervisor;
  supervisor.Say("{\"pid\":7,\"tty\":false}\n");
  Seen seen;
  EXPECT_FALSE(RunExecSession(std::move(supervisor.theirs), seen.Io(-1)));
}

}  // namespace
}  // namespace bailey::tenants
