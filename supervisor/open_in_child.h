// OpenInChild: a descriptor opened by a child process, where we cannot or would not open it: within
// another namespace, or in another v2 group. A socket belongs for ever to the group of the process
// that made it, and so do the sockets that it accepts: what the supervisor makes for a server must
// belong to the server's group, or the programs of that group would not see it.
#pragma once

#include <functional>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

// Runs `body` in a child that shares our descriptor table (so that what it opens is ours) and
// nothing else, and waits for it; `body` returns the descriptor to keep, or an error, which comes
// back. `cgroup`: the v2 directory that the child is in, if not ours. For a single-threaded caller.
Result<UniqueFd> OpenInChild(const std::function<Result<UniqueFd>()>& body, int cgroup = -1);

}  // namespace bailey::supervisor
