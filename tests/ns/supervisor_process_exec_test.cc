// Programs run inside a tenant through its supervisor: exit codes, pipes, terminals, signals.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/files.h"
#include "tests/ns/supervisor_process_world.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;

class Exec : public testing::Test {
 protected:
  Exec() { EXPECT_EQ(world_.Start()["state"], "running"); }
  ~Exec() override { world_.Stop(); }
  World world_;
};

TEST_F(Exec, PassesOutputErrorAndExitThrough) {
  const ExecResult result = world_.Shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.error, "err\n");
  EXPECT_EQ(result.exit, 7);
  EXPECT_EQ(world_.Exec({"true"}).exit, 0);
  EXPECT_EQ(world_.Shell("kill -KILL $$").exit, 128 + SIGKILL);
}

TEST_F(Exec, TellsWhyAProgramCouldNotBeExecuted) {
  const ExecResult missing = world_.Exec({"nothing"});
  EXPECT_EQ(missing.exit, 127);
  EXPECT_NE(missing.note, "");
  EXPECT_EQ(world_.Exec({"/etc/passwd"}).exit, 126);
  EXPECT_EQ(world_.Exec({"/www"}).exit, 126);
}

TEST_F(Exec, FeedsInput) {
  Session session = world_.Open({{"argv", {"cat"}}});
  ASSERT_EQ(session.ends.size(), 3U);
  ASSERT_TRUE(WriteAll(session.ends[0].get(), "through\n"));
  const ExecResult result = session.Finish();
  EXPECT_EQ(result.output, "through\n");
  EXPECT_EQ(result.exit, 0);
}

TEST_F(Exec, RunsAsTheUserInTheDirectoryWithTheEnvironment) {
  Session session = world_.Open({{"argv", {"sh", "-c", "id -u; pwd; echo $COLOR"}},
                                 {"env", {"COLOR=blue"}},
                                 {"user", "www"},
                                 {"cwd", "/srv"}});
  EXPECT_EQ(session.Finish().output, "33\n/srv\nblue\n");
}

TEST_F(Exec, GivesATerminalOfTheTenantsOwn) {
  Session session = world_.Open(
      {{"argv", {"sh", "-c", "tty; stty size"}}, {"tty", true}, {"rows", 33}, {"cols", 99}});
  ASSERT_EQ(session.ends.size(), 1U);
  const ExecResult result = session.Finish();
  EXPECT_EQ(result.exit, 0);
  EXPECT_NE(result.output.find("/dev/pts/0"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("33 99"), std::string::npos) << result.output;
}

TEST_F(Exec, KeysReachTheForegroundJobOfATerminal) {
  Session session = world_.Open({{"argv", {"sh", "-c", "echo up; sleep 1000"}}, {"tty", true}});
  std::string seen(2, '\0');
  ASSERT_EQ(::read(session.ends[0].get(), seen.data(), seen.size()), 2);
  ASSERT_TRUE(WriteAll(session.ends[0].get(), "\003"));
  EXPECT_EQ(session.Finish().exit, 128 + SIGINT);
}

TEST_F(Exec, SignalsReachTheWholeJob) {
  // A plain kill of the shell would leave its child holding the pipes.
  Session session = world_.Open({{"argv", {"sh", "-c", "echo up; sleep 1000; true"}}});
  std::string seen(3, '\0');
  ASSERT_EQ(::read(session.ends[1].get(), seen.data(), seen.size()), 3);
  session.Signal(SIGTERM);
  EXPECT_EQ(session.Finish().exit, 128 + SIGTERM);
}

TEST_F(Exec, OnlyTheSignalsOfTheTableAreSent) {
  Session session = world_.Open({{"argv",
                                  {"sh", "-c",
                                   "trap 'exit 5' USR1; echo up; "
                                   "while :; do sleep 0.1; done"}}});
  std::string seen(3, '\0');
  ASSERT_EQ(::read(session.ends[1].get(), seen.data(), seen.size()), 3);
  session.Signal(SIGKILL);
  session.Signal(0);
  session.Signal(-1);
  session.Signal(SIGUSR1);
  EXPECT_EQ(session.Finish().exit, 5);
}

TEST_F(Exec, ACallerThatGoesAwayHangsUp) {
  Session session = world_.Open({{"argv",
                                  {"sh", "-c",
                                   "trap 'echo hup > /srv/hup; exit' HUP; echo up; "
                                   "while :; do sleep 0.1; done"}}});
  std::string seen(3, '\0');
  ASSERT_EQ(::read(session.ends[1].get(), seen.data(), seen.size()), 3);
  session.socket.Reset();
  EXPECT_TRUE(Eventually([&] { return world_.Exec({"cat", "/srv/hup"}).output == "hup\n"; }));
}

TEST_F(Exec, ManyAtOnce) {
  std::vector<Session> sessions;
  sessions.reserve(20);
  for (int i = 0; i < 20; ++i)
    sessions.push_back(world_.Open({{"argv", {"sh", "-c", "read x; exit " + std::to_string(i)}}}));
  for (int i = 19; i >= 0; --i) EXPECT_EQ(sessions[static_cast<size_t>(i)].Finish().exit, i);
}

TEST_F(Exec, RunsAProgramOfOurOwn) {
  const UniqueFd program(::memfd_create("probe", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_TRUE(WriteAll(program.get(), *ReadFile("/bin/busybox", 16 << 20)));
  ASSERT_EQ(::fcntl(program.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
  const UniqueFd readable(
      ::open(("/proc/self/fd/" + std::to_string(program.get())).c_str(), O_RDONLY | O_CLOEXEC));
  Session session = world_.Open({{"argv", {"echo", "mine"}}, {"program", true}}, readable.get());
  const ExecResult result = session.Finish();
  EXPECT_EQ(result.exit, 0) << result.note;
  EXPECT_EQ(result.output, "mine\n");
}

TEST_F(Exec, IsWithinTheWallsAndTheLimits) {
  EXPECT_NE(world_.Exec({"mount", "-t", "tmpfs", "x", "/srv"}).exit, 0);
  const ExecResult processes = world_.Exec({"ps"});
  EXPECT_EQ(processes.output.find("bailey-supervisor"), std::string::npos);
  EXPECT_NE(processes.output.find("sleep 1000"), std::string::npos) << processes.output;
}

TEST_F(Exec, SessionsEndWithTheTenant) {
  Session session = world_.Open({{"argv", {"sleep", "1000"}}});
  world_.Stop();
  EXPECT_GT(session.Finish().exit, 128);
}

}  // namespace
}  // namespace bailey::supervisor
