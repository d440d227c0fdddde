// Programs of the host's that are not ours: where they are, and what they get of our rights.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/capabilities.h"

namespace bailey {

inline constexpr CapabilityMask kAllCapabilities = ~CapabilityMask{0};

// "/usr/sbin/mke2fs"; "" when it is in none of the system's directories.
std::string FindProgram(const std::string& name);

struct ProgramRights {
  CapabilityMask keep;  // all others leave every set, checked; kAllCapabilities: no drop
  pid_t parent;         // getpid(): the program dies with it (with the thread that spawns it)
};
// ChildOptions::before_exec with a ProgramRights as its context.
int ConfineProgram(void* rights);

}  // namespace bailey
