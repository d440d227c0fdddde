// Who owns which namespace is the first wall: what the tenant's root may do in one is decided by
// the user namespace that owns it. ioctl_ns(2), namespaces(7).
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace bailey::supervisor {

// The mount and network namespaces of `init` are owned by our own user namespace, and its pid, ipc,
// uts and cgroup namespaces by its; all of them are others than ours. EPERM, naming the namespace,
// if not. /proc must be the host's.
Status CheckNamespaceOwners(pid_t init);

}  // namespace bailey::supervisor
