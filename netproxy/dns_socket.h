// The two things that a forwarder of DNS asks the kernel for.
#pragma once

#include <cstdint>
#include <optional>

#include "base/ip_address.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::netproxy {

// A non-blocking socket of `type` (SOCK_DGRAM or SOCK_STREAM) on its way to `resolver`, from a
// random port that the kernel chooses, at `source` if that is of the resolver's family.
Result<UniqueFd> DialResolver(int type, const Endpoint& resolver,
                              const std::optional<IpAddress>& source);
// From getrandom(2).
uint16_t RandomDnsId();

}  // namespace bailey::netproxy
