// The walls around the API child, which parses what strangers send: taking it over yields the
// right to ask the core for what any client of api.sock may ask, and nothing else.
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace bailey::tenants {

// Empty root, empty network and ipc namespaces, `uid` (also as the only group), no capability, no
// new privileges, no more than 1,024 files, no core dump, and an allow-list of system calls without
// open, socket, exec, clone and ptrace. Each is checked; on an error the process must not go on.
// Call once, in a single-threaded process that is still root, when every descriptor is open.
Status ConfineApiProcess(uid_t uid);

}  // namespace bailey::tenants
