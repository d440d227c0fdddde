// The clocks of a tenant: CLOCK_MONOTONIC and CLOCK_BOOTTIME begin at its start, as on a machine of
// its own. A time namespace, not only a file in /proc: so uptime, sysinfo(2), the start times in
// /proc/PID/stat and what ps computes of them agree. time_namespaces(7).
#pragma once

#include <ctime>

namespace bailey::supervisor {

// By the tenant's init, with all capabilities of its user namespace and before further namespaces
// are forbidden; it has one thread, and /proc is the host's. `started`: the host's CLOCK_BOOTTIME
// that becomes 0; zero for now. The process is dumpable afterwards, as one that is not may not set
// its own offsets: at once to be undone. Async-signal-safe. 0, or -1 and errno.
int EnterTenantClock(const timespec& started);

}  // namespace bailey::supervisor
