// Linux capability sets of the calling thread, as one 64-bit mask per set. capabilities(7).
#pragma once

#include <cstdint>

#include "base/result.h"

namespace bailey {

using CapabilityMask = uint64_t;

constexpr CapabilityMask CapabilityBit(int capability) { return CapabilityMask{1} << capability; }

struct CapabilitySets {
  CapabilityMask effective = 0, permitted = 0, inheritable = 0, bounding = 0, ambient = 0;
};

// All five sets of the calling thread, read from the kernel. Async-signal-safe; -1 and errno.
int ReadCapabilities(CapabilitySets* out);
// The two halves of a drop, because a seccomp filter loaded without no_new_privs needs
// CAP_SYS_ADMIN in between. Each is async-signal-safe and returns -1 and errno on failure.
int DropBoundingSet(CapabilityMask keep);  // also clears the ambient set
int SetCapabilities(CapabilityMask keep);  // effective and permitted = keep, inheritable = 0
// Everything outside `keep` has left effective, permitted, inheritable, bounding and ambient.
// Reads the sets back and fails with EPERM if anything is left: the caller must not go on.
Status DropCapabilities(CapabilityMask keep);

}  // namespace bailey
