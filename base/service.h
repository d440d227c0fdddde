// What the long-lived processes do first: baileyd and the supervisors.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

// A signalfd(2) of SIGTERM and SIGINT, which are blocked from now on (SpawnChild unblocks them in
// children); SIGPIPE and SIGHUP are ignored. Before any thread is made. Source: signalfd(2).
Result<UniqueFd> TakeStopSignals();

// As many open files as the hard limit allows. What cannot be raised stays as it is.
void RaiseFileLimit();

}  // namespace bailey
