// Packets into the tenant's namespace from any source, by an IPPROTO_RAW socket. A UDP socket
// bound to the foreign address would not do: its bind fails where the tenant has a wildcard socket
// at that port. `raw` is of the family of both addresses.
#pragma once

#include <cstdint>
#include <span>

#include "base/ip_address.h"
#include "base/result.h"

namespace bailey::netproxy {

// A UDP datagram. EMSGSIZE beyond what fits into one packet.
Status SendRawDatagram(int raw, const Endpoint& from, const Endpoint& to,
                       std::span<const uint8_t> payload);

enum class Unreachable { kPort, kHost, kProhibited };

// An ICMP error of `to`'s about a UDP datagram that `from`, inside, has sent there: what its socket
// reports as ECONNREFUSED or EHOSTUNREACH.
Status SendRawUnreachable(int raw, Unreachable reason, const Endpoint& from, const Endpoint& to);

}  // namespace bailey::netproxy
