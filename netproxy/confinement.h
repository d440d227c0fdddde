// Confinement: what a proxy gives up before it serves. Nothing of it can be taken back, and each
// part is checked: a proxy whose wall does not stand must not run.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace bailey::netproxy {

// Moves the process into an empty root, to `uid` (and the gid of the same number) without other
// groups, without any capability, not dumpable, without new privileges, and behind a list of the
// system calls that relaying needs: no open, exec, ptrace, clone, mount, nor memory that is both
// written and executed. A call beyond the list kills (under the sanitizers it is only logged).
// Needs root; single-threaded.
Status Confine(uint32_t uid);

}  // namespace bailey::netproxy
