// What a process inherits beside its walls: resource limits, priority, its place before the OOM
// killer. Set while still root of the host, since raising a limit and fixing the least
// oom_score_adj ask for capabilities that the tenant never has. prctl(2), getrlimit(2), proc(5).
#pragma once

#include "supervisor/allow.h"

namespace bailey::supervisor {

// For the calling process and its children to come; /proc must be the host's. Async-signal-safe.
// 0, or -1 and errno.
int SetTenantProcessLimits(const Allow& allow);

}  // namespace bailey::supervisor
