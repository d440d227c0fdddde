// The capabilities that a tenant's root keeps: jail(8)'s prison_priv_check() as Linux has it.
// Everything else leaves all five sets. They count in the tenant's user namespace only, and the
// mount and network namespaces are the host's: what they rule stays out of reach.
#pragma once

#include <linux/capability.h>

#include <span>

#include "base/capabilities.h"
#include "supervisor/allow.h"

namespace bailey::supervisor {

struct KeptCapability {
  int number;
  const char* reason;
};

// Sorted by number.
std::span<const KeptCapability> KeptCapabilities();
// The whole set for a tenant with this [allow].
CapabilityMask KeptCapabilityMask(const Allow& allow);

}  // namespace bailey::supervisor
