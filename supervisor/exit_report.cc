#include "supervisor/exit_report.h"

#include <signal.h>
#include <sys/wait.h>

namespace bailey::supervisor {

const char* ExitReasonName(ExitReason reason) {
  switch (reason) {
    case ExitReason::kExit:
      return "exit";
    case ExitReason::kSignal:
      return "signal";
    case ExitReason::kOutOfMemory:
      return "oom";
    case ExitReason::kSeccomp:
      return "seccomp";
  }
  return "exit";
}

std::string ExitReport::ToString() const {
  if (signal == 0) return "exited with " + std::to_string(code);
  std::string text = "killed by signal " + std::to_string(signal);
  if (reason == ExitReason::kOutOfMemory) text += " (out of memory)";
  if (reason == ExitReason::kSeccomp) text += " (a system call that no tenant may make)";
  return text;
}

ExitReport ExplainExit(int wait_status, uint64_t oom_kills) {
  ExitReport exit;
  if (!WIFSIGNALED(wait_status)) {
    exit.code = WEXITSTATUS(wait_status);
    return exit;
  }
  exit.signal = WTERMSIG(wait_status);
  exit.reason = ExitReason::kSignal;
  if (exit.signal == SIGSYS) exit.reason = ExitReason::kSeccomp;
  if (exit.signal == SIGKILL && oom_kills > 0) exit.reason = ExitReason::kOutOfMemory;
  return exit;
}

void CountExit(const ExitReport& exit, CounterPage<SupervisorCounter>& counters) {
  switch (exit.reason) {
    case ExitReason::kExit:
      return counters.Add(SupervisorCounter::kExitsNormal);
    case ExitReason::kSignal:
      return counters.Add(SupervisorCounter::kExitsSignal);
    case ExitReason::kOutOfMemory:
      return counters.Add(SupervisorCounter::kExitsOom);
    case ExitReason::kSeccomp:
      return counters.Add(SupervisorCounter::kExitsSeccomp);
  }
}

bool ShouldRestart(RestartPolicy policy, const ExitReport& exit) {
  switch (policy) {
    case RestartPolicy::kNo:
      return false;
    case RestartPolicy::kOnFailure:
      return exit.Failed();
    case RestartPolicy::kAlways:
      return true;
  }
  return false;
}

}  // namespace bailey::supervisor
