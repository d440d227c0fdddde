// Dial: a connected socket with the tenant's IP as its source, and no other.
#pragma once

#include "base/ip_address.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::netproxy {

// A socket of `type` (SOCK_STREAM or SOCK_DGRAM) of the calling thread's network namespace, bound
// to `source` and connecting (or connected) to `to`; the kernel picks the port. EADDRNOTAVAIL,
// ENETUNREACH and the like as from bind(2) and connect(2); EXDEV if the kernel would send from
// another address: a broken wall.
Result<UniqueFd> Dial(const IpAddress& source, const Endpoint& to, int type);

}  // namespace bailey::netproxy
