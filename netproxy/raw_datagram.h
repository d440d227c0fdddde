// RawDatagram: a UDP datagram into the tenant's namespace from any source, by an IPPROTO_RAW
// socket. A socket bound to the foreign address would not do: its bind fails where the tenant has
// a wildcard socket at that port.
#pragma once

#include <cstdint>
#include <span>

#include "base/ip_address.h"
#include "base/result.h"

namespace bailey::netproxy {

// `raw`: of the family of both addresses. EMSGSIZE beyond what fits into one packet.
Status SendRawDatagram(int raw, const Endpoint& from, const Endpoint& to,
                       std::span<const uint8_t> payload);

}  // namespace bailey::netproxy
