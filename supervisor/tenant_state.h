// What a supervisor knows of its tenant's life, as plain values.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/result.h"
#include "supervisor/exit_report.h"

namespace bailey::supervisor {

// defined → preparing → running ⇄ suspended → stopping → stopped | failed.
enum class TenantState { kDefined, kPreparing, kRunning, kSuspended, kStopping, kStopped, kFailed };
const char* TenantStateName(TenantState state);
inline bool HasEnded(TenantState state) {
  return state == TenantState::kStopped || state == TenantState::kFailed;
}

// Why a tenant has failed: the stage of its start, or "run" and "stop" for what came later.
struct TenantFailure {
  std::string stage;
  Error error;
};

struct TenantStatus {
  TenantState state = TenantState::kDefined;
  pid_t init_pid = 0;     // as the host numbers it; 0 while there is none
  uint64_t restarts = 0;  // of the start command
  std::optional<std::chrono::system_clock::time_point> started_at;
  std::optional<ExitReport> last_exit;  // of the start command
  std::optional<TenantFailure> failure;
  bool reboot = false;  // it was asked inside to end, and to start again
};

}  // namespace bailey::supervisor
