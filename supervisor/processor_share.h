// The processors that a tenant's tasks may run on: as many as its cpu limit asks for, rounded up,
// so that sched_getaffinity(2), by which nproc and run times size themselves, says what the tenant
// has. They are spread over the host by the tenant's number. A tenant without a limit below the
// host's own number has them all. What it costs: a pinned tenant cannot use a processor of others
// that idles. It is no wall: the limit holds whatever a tenant makes of its affinity.
#pragma once

#include <sched.h>

#include <cstdint>

#include "base/result.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// Of those that the calling process may use.
Result<cpu_set_t> ProcessorsOf(const TenantConfig& config);
// Pure. `cores` 0: no limit.
cpu_set_t ShareOfProcessors(const cpu_set_t& usable, double cores, uint32_t uid_base);

// For the calling process and its children to come. Async-signal-safe; 0, or -1 and errno.
int TakeProcessors(const cpu_set_t& share);
// All tasks of `tenant` that had `before`, or that could use a processor outside of `share`, get
// `share`; a narrower choice of their own stays. Asks for CAP_SYS_NICE.
Status MoveToProcessors(const TenantCgroup& tenant, const cpu_set_t& before,
                        const cpu_set_t& share);

}  // namespace bailey::supervisor
