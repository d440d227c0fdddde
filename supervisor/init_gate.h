// The tenant's init between its clone and its exec: I in the stages of tenant_launch.cc. It starts
// inside the tenant's user, pid, ipc, uts and cgroup namespaces, in the launcher's mount and
// network namespaces, with full capabilities over the former. Async-signal-safe throughout.
#pragma once

#include <ctime>

#include "base/capabilities.h"
#include "supervisor/allow.h"
#include "supervisor/tenant_filter.h"

namespace bailey::supervisor {

struct InitGate {
  int launcher;      // stream socket: one byte to the launcher once stage 4 is done
  int control;       // SEQPACKET to the supervisor
  int console;       // becomes stdout and stderr
  int init_program;  // executed when all walls stand
  const char* hostname;
  CapabilityMask keep;
  bool own_mounts;   // Allow::mount
  timespec started;  // of CLOCK_BOOTTIME: the tenant's 0
  const TenantFilter* filter;
};

// Stage 4, the wait at the gate, stage 7. Ends the process if anything fails, or if the supervisor
// or (before stage 4 is acknowledged) the launcher has gone.
[[noreturn]] void RunInitToGate(const InitGate& gate);

}  // namespace bailey::supervisor
