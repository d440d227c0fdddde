// ExitReport: how a process of the tenant ended, and why as far as the kernel tells.
#pragma once

#include <string>

#include "base/counters.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

enum class ExitReason { kExit, kSignal, kOutOfMemory, kSeccomp };
const char* ExitReasonName(ExitReason reason);  // exit, signal, oom, seccomp

struct ExitReport {
  int code = 0;    // of _exit(2), or 0
  int signal = 0;  // that ended it, or 0
  ExitReason reason = ExitReason::kExit;

  // As a shell says it: the code, or 128 + the signal.
  int Status() const { return signal != 0 ? 128 + signal : code; }
  bool Failed() const { return Status() != 0; }
  std::string ToString() const;  // "exited with 1", "killed by signal 9 (out of memory)"
};

// `wait_status` as wait(2) has it. `oom_kills`: how many of the tenant's tasks the kernel has
// killed for want of memory since the last look: a SIGKILL is laid to it if there was any.
ExitReport ExplainExit(int wait_status, uint64_t oom_kills);
void CountExit(const ExitReport& exit, CounterPage<SupervisorCounter>& counters);

// Whether a start command that ended this way is started again.
bool ShouldRestart(RestartPolicy policy, const ExitReport& exit);

}  // namespace bailey::supervisor
