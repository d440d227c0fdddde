// Giving up root: a part of the walls of every program of this folder.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace bailey::netproxy {

// The process becomes `uid` (and the gid of the same number) without other groups or any
// capability, dumps no core, is not dumpable and gets no new privileges; all of it is read back.
// EINVAL for root. Needs root; single-threaded.
Status BecomeUnprivileged(uint32_t uid);

}  // namespace bailey::netproxy
