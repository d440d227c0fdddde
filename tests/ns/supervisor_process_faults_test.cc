// What happens when a process of a tenant dies or runs wild: only its tenant feels it, and what is
// left can be cleared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "base/counters.h"
#include "base/files.h"
#include "supervisor/cgroup_usage.h"
#include "tests/ns/supervisor_process_world.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;
using testing::IsEmpty;

constexpr int kSupervisorPage = 2;
size_t Index(SupervisorCounter counter) { return static_cast<size_t>(counter); }

void KillNine(pid_t pid) {
  ASSERT_GT(pid, 1);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
}

TEST(Faults, TheSupervisorsDeathEndsTheTenant) {
  World world;
  ASSERT_EQ(world.Start()["state"], "running");
  KillNine(world.SupervisorPid());
  // Without anybody clearing: no process of the tenant's is left.
  EXPECT_TRUE(Eventually([&] {
    const auto left = world.Leftovers();
    return std::none_of(left.begin(), left.end(),
                        [](const std::string& each) { return each.starts_with("process"); });
  })) << testing::PrintToString(world.Leftovers());
  EXPECT_EQ(world.Clear(), 0);
  EXPECT_THAT(world.Leftovers(), IsEmpty());
  // And without --clear: a start clears by itself.
  ASSERT_EQ(world.Start()["state"], "running");
  KillNine(world.SupervisorPid());
  ASSERT_EQ(world.Start()["state"], "running");
}

TEST(Faults, ClearEndsALivingSupervisor) {
  World world;
  ASSERT_EQ(world.Start()["state"], "running");
  EXPECT_EQ(world.Clear(), 0);
  EXPECT_THAT(world.Leftovers(), IsEmpty());
  EXPECT_EQ(world.Clear(), 0);  // nothing there
}

TEST(Faults, InitsDeathFailsTheTenantAndKeepsTheReason) {
  World world;
  ASSERT_EQ(world.Start()["state"], "running");
  KillNine(json::value_to<pid_t>(world.Status().at("initPid")));
  const json::object ended = world.Ask({{"op", "wait"}, {"for", "stopped"}});
  EXPECT_EQ(ended.at("state"), "failed") << ended;
  EXPECT_NE(json::value_to<std::string>(ended.at("error")).find("signal 9"), std::string::npos);
  world.Stop();
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

TEST(Faults, TheFileServersDeathFailsTheTenantAndKeepsTheReason) {
  World world;
  ASSERT_EQ(world.Start()["state"], "running");
  KillNine(world.ServerPid("bailey-fs"));
  const json::object ended = world.Ask({{"op", "wait"}, {"for", "stopped"}});
  EXPECT_EQ(ended.at("state"), "failed") << ended;
  EXPECT_NE(json::value_to<std::string>(ended.at("error")).find("bailey-fs"), std::string::npos);
  world.Stop();
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

TEST(Faults, AFileServerThatIsStuckFailsTheStart) {
  World world;
  world.ReplaceProgram("bailey-fs", world.config.programs + "/stuck_file_server");
  const json::object failed = world.Start();
  EXPECT_EQ(failed.at("state"), "failed") << failed;
  EXPECT_EQ(failed.at("stage"), "walls") << failed;
  world.Stop();
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

TEST(Faults, AFailureWithOpenSessionsEndsAtOnce) {
  World world;
  ASSERT_EQ(world.Start()["state"], "running");
  std::vector<Session> sessions;
  sessions.reserve(5);
  for (int i = 0; i < 5; ++i) sessions.push_back(world.Open({{"argv", {"sleep", "1000"}}}));
  KillNine(world.ServerPid("bailey-fs"));
  EXPECT_EQ(world.Ask({{"op", "wait"}, {"for", "stopped"}}).at("state"), "failed");
  // 126: a session greets before its program is executed, which without a file server fails.
  for (Session& session : sessions)
    EXPECT_THAT(session.Finish().exit, testing::AnyOf(128 + SIGKILL, 126));
  const auto log = ReadFile(world.runtime_dir() + "/supervisor.log");
  ASSERT_TRUE(log);
  EXPECT_EQ(log->find("cut off"), std::string::npos) << "waited in vain";
}

TEST(Faults, AFileServerThatHangsDoesNotHoldUpAStop) {
  World world;
  world.config.process.start = {"/bin/sh", "-c", "while :; do ls -R / > /dev/null; done"};
  world.config.process.stop_timeout = std::chrono::milliseconds(200);
  ASSERT_EQ(world.Start()["state"], "running");
  ASSERT_EQ(::kill(world.ServerPid("bailey-fs"), SIGSTOP), 0);
  EXPECT_EQ(world.Stop()["state"], "stopped");
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

TEST(Faults, TheProxysDeathIsNotNoticed) {
  World world;
  world.config.process.start = {"/bin/httpd", "-f", "-p", "80", "-h", "/www"};
  ASSERT_EQ(world.Start()["state"], "running");
  const auto served = [&] { return world.Fetch().find("a page") != std::string::npos; };
  ASSERT_TRUE(Eventually(served));
  for (int i = 0; i < 3; ++i) {
    const pid_t proxy = world.ServerPid("bailey-netproxy");
    KillNine(proxy);
    // Not refused, not lost: it waits in the listener's queue for the next proxy.
    EXPECT_TRUE(served()) << "after death " << i;
    EXPECT_TRUE(Eventually([&] { return world.ServerPid("bailey-netproxy") != proxy; }));
  }
  EXPECT_EQ(world.Counter(kSupervisorPage, Index(SupervisorCounter::kProxyRestarts)), 3U);
  EXPECT_EQ(world.Status().at("state"), "running");
}

TEST(Faults, OutOfMemoryEndsTheTaskAndIsCounted) {
  World world;
  world.config.limits.memory_bytes = 32 << 20;
  ASSERT_EQ(world.Start()["state"], "running");
  // tail keeps what it has read: without a line's end, all of it.
  const ExecResult hog = world.Exec({"tail", "-n", "1", "/dev/zero"});
  EXPECT_EQ(hog.exit, 128 + SIGKILL);
  EXPECT_EQ(world.Counter(kSupervisorPage, Index(SupervisorCounter::kExitsOom)), 1U);
  EXPECT_EQ(world.Status().at("state"), "running");
  EXPECT_EQ(world.Exec({"true"}).exit, 0);
}

TEST(Faults, AForkBombIsBoundedAndStops) {
  World world;
  world.config.limits.pids = 40;
  world.config.process.stop_timeout = std::chrono::milliseconds(200);
  ASSERT_EQ(world.Start()["state"], "running");
  Session bomb = world.Open({{"argv", {"sh", "-c", "b() { b | b & b; }; b"}}});
  const auto host = CgroupHost::Detect();
  EXPECT_TRUE(
      Eventually([&] { return ReadCgroupUsage(*host, world.config.cgroup).pids_limit_hits > 0; }));
  EXPECT_LE(ReadCgroupUsage(*host, world.config.cgroup).tasks, 40U);
  EXPECT_EQ(world.Status().at("state"), "running");
  EXPECT_EQ(world.Stop()["state"], "stopped");
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

}  // namespace
}  // namespace bailey::supervisor
