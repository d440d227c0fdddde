// How an end is explained and whether a start follows it: pure decisions, by table.
#include <gtest/gtest.h>
#include <signal.h>

#include "supervisor/backoff.h"
#include "supervisor/exit_report.h"

namespace bailey::supervisor {
namespace {

using std::chrono::milliseconds;

constexpr int Exited(int code) { return code << 8; }

struct Case {
  int wait_status;
  uint64_t oom_kills;
  ExitReason reason;
  int status;
};

TEST(ExitReport, ExplainsEveryKindOfEnd) {
  const Case cases[] = {
      {Exited(0), 0, ExitReason::kExit, 0},
      {Exited(3), 0, ExitReason::kExit, 3},
      {Exited(3), 1, ExitReason::kExit, 3},  // somebody else was killed
      {SIGTERM, 0, ExitReason::kSignal, 128 + SIGTERM},
      {SIGKILL, 0, ExitReason::kSignal, 128 + SIGKILL},
      {SIGKILL, 2, ExitReason::kOutOfMemory, 128 + SIGKILL},
      {SIGTERM, 1, ExitReason::kSignal, 128 + SIGTERM},
      {SIGSYS, 0, ExitReason::kSeccomp, 128 + SIGSYS},
      {SIGSEGV | 0x80, 0, ExitReason::kSignal, 128 + SIGSEGV},  // with a core
  };
  for (const Case& each : cases) {
    const ExitReport exit = ExplainExit(each.wait_status, each.oom_kills);
    EXPECT_EQ(exit.reason, each.reason) << exit.ToString();
    EXPECT_EQ(exit.Status(), each.status) << exit.ToString();
  }
}

TEST(ExitReport, CountsByReason) {
  CounterPage<SupervisorCounter> counters{};
  CountExit(ExplainExit(Exited(0), 0), counters);
  CountExit(ExplainExit(SIGKILL, 1), counters);
  CountExit(ExplainExit(SIGSYS, 0), counters);
  CountExit(ExplainExit(SIGHUP, 0), counters);
  EXPECT_EQ(counters.Get(SupervisorCounter::kExitsNormal), 1U);
  EXPECT_EQ(counters.Get(SupervisorCounter::kExitsOom), 1U);
  EXPECT_EQ(counters.Get(SupervisorCounter::kExitsSeccomp), 1U);
  EXPECT_EQ(counters.Get(SupervisorCounter::kExitsSignal), 1U);
}

TEST(RestartPolicy, RestartsByPolicyAndEnd) {
  const ExitReport well = ExplainExit(Exited(0), 0), badly = ExplainExit(Exited(1), 0),
                   killed = ExplainExit(SIGKILL, 0);
  for (const ExitReport& exit : {well, badly, killed}) {
    EXPECT_FALSE(ShouldRestart(RestartPolicy::kNo, exit));
    EXPECT_TRUE(ShouldRestart(RestartPolicy::kAlways, exit));
  }
  EXPECT_FALSE(ShouldRestart(RestartPolicy::kOnFailure, well));
  EXPECT_TRUE(ShouldRestart(RestartPolicy::kOnFailure, badly));
  EXPECT_TRUE(ShouldRestart(RestartPolicy::kOnFailure, killed));
}

TEST(Backoff, DoublesUpToTheLongestAndBeginsAnew) {
  Backoff backoff;
  const milliseconds soon{5};
  for (const int expected : {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000})
    EXPECT_EQ(backoff.Next(soon), milliseconds(expected));
  EXPECT_EQ(backoff.Next(std::chrono::seconds(11)), milliseconds(100));
  EXPECT_EQ(backoff.Next(soon), milliseconds(200));
}

}  // namespace
}  // namespace bailey::supervisor
