// A tenant's life through its supervisor: start, serve, stop, restarts, limits, refusals.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/capabilities.h"
#include "base/child_process.h"
#include "base/counters.h"
#include "base/files.h"
#include "supervisor/own_capabilities.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_launch.h"
#include "tests/ns/supervisor_process_world.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;
using testing::IsEmpty;

constexpr int kSupervisorPage = 2;
size_t Index(SupervisorCounter counter) { return static_cast<size_t>(counter); }

std::string State(const json::object& status) {
  const json::value* state = status.if_contains("state");
  return state != nullptr && state->is_string() ? json::value_to<std::string>(*state) : "";
}

TEST(Life, ServesItsPageThroughTheProxyAndLeavesNothing) {
  World world;
  world.config.process.start = {"/bin/httpd", "-f", "-p", "80", "-h", "/www"};
  const json::object running = world.Start();
  ASSERT_EQ(State(running), "running") << running;
  EXPECT_GT(json::value_to<int>(running.at("initPid")), 0);
  EXPECT_TRUE(
      Eventually([&] { return world.Fetch().find("a page of the tenant") != std::string::npos; }));
  EXPECT_EQ(world.Counter(kSupervisorPage, Index(SupervisorCounter::kStarts)), 1U);
  EXPECT_GT(world.Counter(kSupervisorPage, Index(SupervisorCounter::kStartMicroseconds)), 0U);
  EXPECT_FALSE(world.Leftovers().empty());  // or the check below says nothing
  const json::object stopped = world.Stop();
  EXPECT_EQ(State(stopped), "stopped") << stopped;
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

TEST(Life, TwentyTimesAgainLeavesNothing) {
  World world;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(State(world.Start()), "running") << "in round " << i;
    ASSERT_EQ(State(world.Stop()), "stopped") << "in round " << i;
    ASSERT_THAT(world.Leftovers(), IsEmpty()) << "in round " << i;
  }
}

TEST(Life, WhatIsWrittenInsideStays) {
  World world;
  ASSERT_EQ(State(world.Start()), "running");
  EXPECT_EQ(world.Shell("echo kept > /srv/file").exit, 0);
  world.Stop();
  struct stat seen {};
  ASSERT_EQ(::stat((world.upper() + "/srv/file").c_str(), &seen), 0);
  EXPECT_EQ(seen.st_uid, 0U);  // canonical on disk
  ASSERT_EQ(State(world.Start()), "running");
  EXPECT_EQ(world.Exec({"cat", "/srv/file"}).output, "kept\n");
}

TEST(Life, ConsoleIsLogged) {
  World world;
  world.config.process.start = {"/bin/sh", "-c", "echo out; echo err >&2; exec sleep 1000"};
  ASSERT_EQ(State(world.Start()), "running");
  EXPECT_TRUE(Eventually([&] { return world.Console() == "out\nerr\n"; })) << world.Console();
}

TEST(Life, StopAsksFirstAndInsistsThen) {
  World world;
  world.config.process.start = {"/bin/sh", "-c",
                                "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"};
  ASSERT_EQ(State(world.Start()), "running");
  world.Stop();
  EXPECT_THAT(world.Console(), testing::HasSubstr("bye\n"));
  // Deaf to TERM: killed when its time is over.
  world.config.process.start = {"/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"};
  world.config.process.stop_timeout = std::chrono::milliseconds(300);
  ASSERT_EQ(State(world.Start()), "running");
  EXPECT_EQ(State(world.Stop()), "stopped");
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

TEST(Life, EndsWithItsStartCommand) {
  World world;
  world.config.process.start = {"/bin/sh", "-c", "sleep 0.3; exit 0"};
  ASSERT_EQ(State(world.Start()), "running");
  const json::object ended = world.Ask({{"op", "wait"}, {"for", "stopped"}});
  EXPECT_EQ(State(ended), "stopped") << ended;
  EXPECT_EQ(ended.at("lastExit").at("code"), 0);
  world.Stop();
  world.config.process.start = {"/bin/sh", "-c", "sleep 0.3; exit 3"};
  ASSERT_EQ(State(world.Start()), "running");
  const json::object failed = world.Ask({{"op", "wait"}, {"for", "stopped"}});
  EXPECT_EQ(State(failed), "failed") << failed;
  EXPECT_EQ(failed.at("lastExit").at("code"), 3);
  // Nothing but the supervisor and its socket: it keeps the reason.
  EXPECT_EQ(world.Leftovers().size(), 2U) << testing::PrintToString(world.Leftovers());
}

TEST(Life, GoesOnWhileItsStartCommandsChildrenDo) {
  World world;
  world.config.process.start = {"/bin/sh", "-c", "sleep 2 & exit 0"};
  ASSERT_EQ(State(world.Start()), "running");
  EXPECT_TRUE(Eventually([&] { return !world.Status().at("lastExit").is_null(); }));
  EXPECT_EQ(State(world.Status()), "running");
  EXPECT_EQ(State(world.Ask({{"op", "wait"}, {"for", "stopped"}})), "stopped");
}

TEST(Life, RestartsItsStartCommandByPolicy) {
  World world;
  world.config.process.restart = RestartPolicy::kOnFailure;
  world.config.process.start = {"/bin/sh", "-c", ""};
  world.config.process.start[2] =
      "echo run >> /srv/runs; n=0; while read l; do n=$((n+1)); done < /srv/runs; "
      "test $n -ge 3 && exec sleep 1000; exit 1";
  ASSERT_EQ(State(world.Start()), "running");
  EXPECT_TRUE(Eventually([&] { return world.Status().at("restarts") == 2; })) << world.Status();
  EXPECT_EQ(world.Counter(kSupervisorPage, Index(SupervisorCounter::kRestarts)), 2U);
  EXPECT_EQ(State(world.Status()), "running");
}

TEST(Life, AMissingStartCommandFailsTheStart) {
  World world;
  world.config.process.start = {"/bin/nothing"};
  const json::object failed = world.Start();
  EXPECT_EQ(State(failed), "failed") << failed;
  EXPECT_EQ(failed.at("ok"), false);
  EXPECT_EQ(failed.at("errno"), ENOENT);
  EXPECT_EQ(failed.at("stage"), "gate");
  world.Stop();
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

struct Breakage {
  const char* name;
  const char* stage;
  void (*apply)(World& world);
};

// Each stage is made to fail once: the reason is kept, and everything else is undone.
class FailingStage : public testing::TestWithParam<Breakage> {};

TEST_P(FailingStage, IsRolledBack) {
  World world;
  GetParam().apply(world);
  const json::object failed = world.Start();
  EXPECT_EQ(State(failed), "failed") << failed;
  EXPECT_EQ(failed.at("stage"), GetParam().stage) << failed;
  EXPECT_NE(failed.at("error"), "");
  EXPECT_EQ(world.Leftovers().size(), 2U) << testing::PrintToString(world.Leftovers());
  world.Stop();
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Stages, FailingStage,
    testing::Values(
        Breakage{"Address", "groups",
                 [](World& world) { world.config.ip = *IpAddress::Parse("203.0.113.9"); }},
        Breakage{"Layer", "root",
                 [](World& world) { world.config.layers.lowers[0].path = "/nowhere"; }},
        Breakage{"FileServer", "root",
                 [](World& world) { world.ReplaceProgram("bailey-fs", "/bin/false"); }},
        Breakage{"Init", "gate",
                 [](World& world) { world.ReplaceProgram("bailey-init", "/bin/false"); }},
        Breakage{"Proxy", "network",
                 [](World& world) { world.ReplaceProgram("bailey-netproxy", "/bin/false"); }},
        Breakage{"Allow", "groups", [](World& world) { world.config.allow["everything"] = true; }},
        Breakage{"Pids", "walls", [](World& world) { world.config.limits.pids = 1; }}),
    [](const auto& test) { return test.param.name; });

// What a process of the tenant's counts up, by the size of a file of its root.
off_t Counted(const World& world) {
  struct stat st {};
  return ::stat((world.upper() + "/srv/count").c_str(), &st) == 0 ? st.st_size : -1;
}

// It counts on within seconds, or not at all for a good while.
bool Counts(const World& world, int seconds = 15) {
  const off_t before = Counted(world);
  return Eventually([&] { return Counted(world) > before; }, seconds);
}

constexpr const char* kCounting = "while :; do echo >> /srv/count; done";

TEST(Life, ASuspendedTenantStandsStillUntilItIsResumed) {
  World world;
  world.config.process.start = {"/bin/sh", "-c", kCounting};
  ASSERT_EQ(State(world.Start()), "running");
  ASSERT_TRUE(Counts(world));
  const json::object suspended = world.Ask({{"op", "suspend"}});
  EXPECT_EQ(State(suspended), "suspended") << suspended;
  EXPECT_FALSE(Counts(world, 1));
  EXPECT_EQ(State(world.Ask({{"op", "suspend"}})), "suspended");
  const json::object refused = world.Ask({{"op", "exec"}, {"argv", {"/bin/true"}}});
  EXPECT_EQ(refused.at("ok"), false) << refused;
  EXPECT_NE(std::string(refused.at("hint").as_string()).find("bailey resume"), std::string::npos);
  EXPECT_EQ(State(world.Ask({{"op", "resume"}})), "running");
  EXPECT_TRUE(Counts(world));
  EXPECT_EQ(State(world.Ask({{"op", "resume"}})), "running");
}

TEST(Life, ASuspendedTenantIsAskedToStopAsAnyOther) {
  World world;
  world.config.process.start = {"/bin/sh", "-c",
                                "trap 'echo asked > /srv/word; exit 0' TERM; : > /srv/ready; "
                                "while :; do sleep 0.1; done"};
  ASSERT_EQ(State(world.Start()), "running");
  const auto exists = [&](const char* name) {
    return ::access((world.upper() + "/srv/" + name).c_str(), F_OK) == 0;
  };
  ASSERT_TRUE(Eventually([&] { return exists("ready"); }));
  ASSERT_EQ(State(world.Ask({{"op", "suspend"}})), "suspended");
  EXPECT_EQ(State(world.Stop()), "stopped");
  EXPECT_TRUE(exists("word"));
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

TEST(Life, ASuspendedTenantWhoseInitIsKilledLeavesNothing) {
  World world;
  world.config.process.start = {"/bin/sh", "-c", kCounting};
  const json::object running = world.Start();
  ASSERT_EQ(State(world.Ask({{"op", "suspend"}})), "suspended");
  ASSERT_EQ(::kill(json::value_to<pid_t>(running.at("initPid")), SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] { return State(world.Status()) == "failed"; }));
  EXPECT_EQ(State(world.Stop()), "failed");
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

// How somebody inside ends the tenant, and whether it should start again.
struct Ending {
  const char* command;
  bool reboot;
};

TEST(Life, ATenantMayEndItself) {
  for (const Ending& ending :
       {Ending{"reboot", true}, Ending{"poweroff", false}, Ending{"halt", false},
        Ending{"reboot -f", true}, Ending{"poweroff -f", false}}) {
    World world;
    world.config.process.start = {"/bin/sh", "-c", "while :; do sleep 0.1; done"};
    world.config.process.restart = RestartPolicy::kAlways;
    ASSERT_EQ(State(world.Start()), "running");
    world.Shell(ending.command);
    ASSERT_TRUE(Eventually([&] { return State(world.Status()) == "stopped"; })) << ending.command;
    EXPECT_EQ(world.Status().at("reboot"), ending.reboot) << ending.command;
    EXPECT_EQ(State(world.Stop()), "stopped");
    EXPECT_THAT(world.Leftovers(), IsEmpty());
  }
}

TEST(Life, ATenantCannotPutItsOwnEndOff) {
  World world;
  world.config.process.stop_timeout = std::chrono::milliseconds(500);
  world.config.process.start = {"/bin/sh", "-c", "trap '' TERM; while :; do kill -TERM 1; done"};
  world.Start();
  EXPECT_TRUE(Eventually([&] { return State(world.Status()) == "stopped"; }));
  const auto log = ReadFile(world.runtime_dir() + "/supervisor.log");
  ASSERT_TRUE(log);
  EXPECT_LT(log->size(), 10'000U) << "nor fill the host's log";
}

TEST(Life, AHostThatEndsInitDoesNotRebootTheTenant) {
  World world;
  world.config.process.start = {"/bin/sh", "-c", "while :; do sleep 0.1; done"};
  const json::object running = world.Start();
  ASSERT_EQ(::kill(json::value_to<pid_t>(running.at("initPid")), SIGTERM), 0);
  ASSERT_TRUE(Eventually([&] { return State(world.Status()) == "stopped"; }));
  EXPECT_EQ(world.Status().at("reboot"), false);
}

TEST(Life, OnlyARunningTenantIsSuspended) {
  World world;
  world.config.process.start = {"/bin/sh", "-c", "exit 3"};
  world.Start();
  ASSERT_TRUE(Eventually([&] { return State(world.Status()) == "failed"; }));
  for (const char* op : {"suspend", "resume"}) {
    const json::object refused = world.Ask({{"op", op}});
    EXPECT_EQ(refused.at("ok"), false) << refused;
    EXPECT_EQ(json::value_to<int>(refused.at("errno")), ESRCH) << refused;
  }
}

TEST(Life, LimitsChangeLiveAndAreReadBack) {
  World world;
  ASSERT_EQ(State(world.Start()), "running");
  const json::object set =
      world.Ask({{"op", "set"}, {"limits", {{"memory", 64 << 20}, {"pids", 50}, {"cpu", 0.5}}}});
  ASSERT_EQ(set.at("ok"), true) << set;
  EXPECT_EQ(set.at("limits").at("memory"), 64 << 20);
  EXPECT_EQ(set.at("limits").at("pids"), 50);
  const auto host = CgroupHost::Detect();
  const auto held = TenantCgroup::Existing(*host, world.config.cgroup).ReadLimits();
  ASSERT_TRUE(held);
  EXPECT_EQ(held->pids, 50U);
  EXPECT_DOUBLE_EQ(held->cpu, 0.5);
  const auto servers =
      ReadFile(host->Of(Controller::kMemory, world.config.cgroup + "/servers") +
               (host->IsV1(Controller::kMemory) ? "/memory.limit_in_bytes" : "/memory.max"));
  ASSERT_TRUE(servers);
  EXPECT_EQ(std::stoull(*servers), (64ULL << 20) + TenantCgroup::kServersMemory);
  const json::object bad = world.Ask({{"op", "set"}, {"limits", {{"pids", -1}}}});
  EXPECT_EQ(bad.at("ok"), false);
}

// While the proxy is held up, it gets more to do than answers fit into its link.
TEST(Life, AnyNumberOfPortsIsPublishedAtOnce) {
  constexpr uint64_t kPorts = 600;
  World world;
  ASSERT_EQ(world.Start()["state"], "running");
  const pid_t proxy = world.ServerPid("bailey-netproxy");
  ASSERT_EQ(::kill(proxy, SIGSTOP), 0);
  const auto program = LoadInitProgram(ProgramDirectory() + "/wall_probe");
  ASSERT_TRUE(program);
  const Session listens = world.Open(
      {{"argv", {"probe", "listen", "20000", std::to_string(kPorts)}}, {"program", true}},
      program->get());
  char said = 0;
  EXPECT_EQ(::read(listens.ends[1].get(), &said, 1), 1);
  ASSERT_EQ(::kill(proxy, SIGCONT), 0);
  EXPECT_TRUE(Eventually([&] {
    return world.Counter(1, static_cast<size_t>(NetCounter::kPublishedPorts)) == kPorts;
  }));
  EXPECT_EQ(world.ServerPid("bailey-netproxy"), proxy);
}

TEST(Life, PublishedPortsChangeLive) {
  World world;
  world.config.process.start = {"/bin/httpd", "-f", "-p", "80", "-h", "/www"};
  world.config.publish = {81};
  ASSERT_EQ(State(world.Start()), "running");
  const auto served = [&] { return !world.Fetch().empty(); };
  const auto publish = [&](const json::value& ports) {
    json::object network = json::parse(world.config.network).get_object();
    network["publish"] = ports;
    return world.Ask({{"op", "set"}, {"publish", ports}, {"network", network}}).at("ok");
  };
  EXPECT_FALSE(Eventually(served, 1));
  EXPECT_EQ(publish({80}), true);
  EXPECT_TRUE(Eventually(served));
  EXPECT_EQ(publish({81}), true);
  EXPECT_TRUE(Eventually([&] { return !served(); }));
}

TEST(Life, TheSupervisorKeepsTheCapabilitiesOfItsTableAlone) {
  World world;
  ASSERT_EQ(State(world.Start()), "running");
  CapabilityMask kept = 0;
  for (const OwnCapability& each : OwnCapabilities()) kept |= CapabilityBit(each.number);
  CapabilitySets ours;  // a host may have taken some from root already
  ASSERT_EQ(ReadCapabilities(&ours), 0);
  const auto text = ReadFile("/proc/" + std::to_string(world.SupervisorPid()) + "/status");
  ASSERT_TRUE(text);
  for (const char* set : {"CapBnd:\t", "CapPrm:\t", "CapEff:\t"}) {
    const size_t at = text->find(set);
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(std::stoull(text->substr(at + 8, 16), nullptr, 16), kept & ours.bounding) << set;
  }
}

TEST(Life, ASecondSupervisorIsRefusedWhileTheTenantLives) {
  World world;
  ASSERT_EQ(State(world.Start()), "running");
  const pid_t first = world.SupervisorPid();
  std::string said;
  EXPECT_EQ(world.Spawn({}, &said), 1);
  EXPECT_NE(said.find("has a supervisor already"), std::string::npos) << said;
  EXPECT_EQ(world.SupervisorPid(), first);
  EXPECT_EQ(State(world.Status()), "running");
}

TEST(Life, ASecondSupervisorReplacesOneWhoseTenantHasEnded) {
  World world;
  world.config.process.start = {"/bin/false"};
  ASSERT_EQ(world.Spawn(), 0);
  EXPECT_EQ(State(world.Ask({{"op", "wait"}, {"for", "stopped"}})), "failed");
  world.config.process.start = {"/bin/sleep", "1000"};
  EXPECT_EQ(State(world.Start()), "running");
}

TEST(Life, SigtermStopsTheTenant) {
  World world;
  ASSERT_EQ(State(world.Start()), "running");
  ::kill(world.SupervisorPid(), SIGTERM);
  EXPECT_TRUE(Eventually([&] { return world.Leftovers().empty(); }))
      << testing::PrintToString(world.Leftovers());
}

}  // namespace
}  // namespace bailey::supervisor
