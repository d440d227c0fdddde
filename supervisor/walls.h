// The walls that a process raises around itself, in the only order in which they can stand, and
// the checks that they do. Run by the tenant's init and by whoever enters the tenant, between clone
// and exec: everything here is async-signal-safe and allocates nothing.
//
// Namespaces, cgroup and mounts must be the tenant's already, and its id maps written.
#pragma once

#include <cstdint>
#include <span>

#include "base/capabilities.h"
#include "supervisor/tenant_filter.h"

namespace bailey::supervisor {

enum class WallStep : int32_t {
  kClock,

  kNamespaces,
  kIds,
  kKeyring,
  kDescriptors,
  kBoundingSet,
  kSeccomp,
  kCapabilities,
  kCheckIds,
  kCheckCapabilities,
  kCheckFilter,
  kExecute,
};
const char* WallStepName(WallStep step);

struct WallFailure {
  WallStep step;
  int error;
};

// The tenant's root: uid and gid 0, no other groups; a session keyring of its own (else the host
// root's comes along); signals, umask and scheduling as at boot; not dumpable, since a change of
// ids resets that, and the tenant's root could seize us. 0, or -1 and *failure.
int BecomeTenantRoot(WallFailure* failure);

// Gives `wanted` the numbers 0, 1, …, and `kept` the numbers after them, close-on-exec; everything
// else is closed, at once. 0, or -1 and *failure.
int ArrangeDescriptors(std::span<const int> wanted, std::span<const int> kept,
                       WallFailure* failure);

// Bounding set → filter → other sets, then every check. Returns the filter's listener, or -1 and
// *failure: the caller must end then.
int RaiseWalls(CapabilityMask keep, const TenantFilter& filter, WallFailure* failure);

}  // namespace bailey::supervisor
