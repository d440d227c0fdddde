// What the supervisor keeps of root's capabilities: what starting, exec and sockets need, here or
// in the children that it starts (they inherit no more than it has). There is no seccomp filter of
// its own, since a filter would pass on to the tenants, which must have theirs alone.
#pragma once

#include <linux/capability.h>

#include <span>

#include "base/result.h"

namespace bailey::supervisor {

struct OwnCapability {
  int number;
  const char* reason;
};

// Sorted by number.
std::span<const OwnCapability> OwnCapabilities();
// Drops the rest from all five sets, and checks.
Status DropOtherCapabilities();

}  // namespace bailey::supervisor
