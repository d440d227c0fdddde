// Ending what a launcher or an entering child was making when it failed: they lead a process group,
// and whoever they cloned is in it and is, or becomes, our child.
#pragma once

#include <sys/types.h>

namespace bailey::supervisor {

// SIGKILL to the group of `leader`, our child; then reaps it and all of it that is our child. Waits
// two seconds at most: a task that waits for a file server which has read its request cannot be
// killed before that connection is aborted, and the abort is our caller's.
void EndProcessGroup(pid_t leader);

// waitpid(2) for one child that has ended or is about to; the same patience.
void Reap(pid_t child);

}  // namespace bailey::supervisor
