// MadeInCgroup: a descriptor made by a child in another v2 group. A socket belongs for ever to the
// group of the process that made it, and so do the sockets that it accepts: what the supervisor
// makes for a server must belong to the server's group, or the programs of that group would not see
// it.
#pragma once

#include <functional>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

// Runs `make` in a fork that shares our descriptors, in the v2 directory `cgroup`, and waits for
// it. Only the errno of an error comes back. For a single-threaded caller.
Result<UniqueFd> MadeInCgroup(int cgroup, const std::function<Result<UniqueFd>()>& make);

}  // namespace bailey::supervisor
