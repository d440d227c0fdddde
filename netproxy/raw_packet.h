// Packets into the tenant's namespace from any source, by an IPPROTO_RAW socket. A UDP socket
// bound to the foreign address would not do: its bind fails where the tenant has a wildcard socket
// at that port. `raw` is of the family of both addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ip_address.h"
#include "base/result.h"

namespace bailey::netproxy {

// A UDP datagram. EMSGSIZE beyond what fits into one packet.
Status SendRawDatagram(int raw, const Endpoint& from, const Endpoint& to,
                       std::span<const uint8_t> payload);

// Many, in as few system calls as can be. What the kernel does not take is lost, as UDP may be.
struct RawDatagram {
  Endpoint from, to;
  std::span<const uint8_t> payload;
};
void SendRawDatagrams(int raw, std::span<const RawDatagram> datagrams);

enum class Unreachable { kPort, kHost, kNetwork, kProhibited };
// What tells a program inside of this errno of a socket outside, as far as ICMP can.
Unreachable ReasonFor(int error);

// An ICMP error of `to`'s about a UDP datagram that `from`, inside, has sent there: what its socket
// reports as ECONNREFUSED or EHOSTUNREACH.
Status SendRawUnreachable(int raw, Unreachable reason, const Endpoint& from, const Endpoint& to);

// The same about any packet: `about` is its IP header and 8 bytes more.
Status SendRawIcmp(int raw, Unreachable reason, const IpAddress& from, const IpAddress& to,
                   std::span<const uint8_t> about);

// An ICMP message (ICMPv6 for IPv6), of which the checksum is filled in here.
Status SendRawIcmpMessage(int raw, const IpAddress& from, const IpAddress& to,
                          std::span<uint8_t> icmp, uint8_t hops);

// `transport` after an IP header of ours, and a packet that has one already.
Status SendRawTransport(int raw, const IpAddress& from, const IpAddress& to, uint8_t protocol,
                        std::span<const uint8_t> transport, uint8_t hops = 64);
Status SendRawPacket(int raw, const IpAddress& to, std::span<const uint8_t> packet);

// Writes ICMP's own, which knows no pseudo header.
void SetIcmpChecksum(std::span<uint8_t> icmp);

// Writes the checksum of `transport` (header and data), which is at `offset` in it.
void SetTransportChecksum(const IpAddress& from, const IpAddress& to, uint8_t protocol,
                          std::span<uint8_t> transport, size_t offset);

}  // namespace bailey::netproxy
