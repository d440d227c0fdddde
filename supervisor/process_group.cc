#include "supervisor/process_group.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "base/log.h"

namespace bailey::supervisor {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPatience(2000), kPause(1);

// Reaps children that `which` selects, as waitpid(2) takes it, until there is none, or `one` was.
void ReapAll(pid_t which, bool one) {
  const Clock::time_point give_up = Clock::now() + kPatience;
  for (;;) {
    const pid_t reaped = ::waitpid(which, nullptr, WNOHANG);
    if (reaped < 0 && errno == ECHILD) return;
    if (reaped > 0 && one) return;
    if (reaped > 0) continue;
    if (Clock::now() > give_up) return LogError("a child cannot be reaped yet");
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

void EndProcessGroup(pid_t leader) {
  ::kill(-leader, SIGKILL);
  ReapAll(leader, true);
  ReapAll(-leader, false);
}

void Reap(pid_t child) { ReapAll(child, true); }

}  // namespace bailey::supervisor
