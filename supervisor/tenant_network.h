// The inside of a tenant's network namespace: lo, the IP, and routes that make every other
// destination local (AnyIP), so that the proxy's sk_lookup program can take it.
// FACTS: each line of the batch was tried; `src` and the table of its own are essential.
#pragma once

#include <cstdint>

#include "base/ip_address.h"
#include "base/result.h"

namespace bailey::supervisor {

// For the calling thread's network namespace, which must be new and owned by the host. `uid_base`:
// who may send datagram pings (ids as the host sees them, since the host writes the sysctl).
// /proc must be the host's.
Status ConfigureTenantNetwork(const IpAddress& ip, uint32_t uid_base);

}  // namespace bailey::supervisor
