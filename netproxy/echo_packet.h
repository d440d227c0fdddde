// Pings as bytes: what the `hold` program took away, and what comes back from the world. Pure;
// reads nothing out of bounds, whatever is in there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ip_address.h"

namespace bailey::netproxy {

// An echo request of the tenant's, from its IP header on.
struct EchoRequest {
  IpAddress from, to;
  uint16_t id = 0;
  uint8_t hops = 0;
  std::span<const uint8_t> icmp;   // the whole message
  std::span<const uint8_t> about;  // IP header and 8 bytes, for an error about it

  // nullopt for anything else.
  static std::optional<EchoRequest> Parse(std::span<const uint8_t> packet);
};

// An ICMP message for the tenant's IP: an answer, or an error about a request.
struct EchoResponse {
  bool answer = false;
  IpAddress peer;                 // who answers; or, of an error, to whom the request went
  uint16_t id = 0;                // of the request
  std::span<const uint8_t> icmp;  // the whole message
  size_t id_offset = 0;           // in it

  // `icmp`: without its IP header. `from`: who sent it. nullopt for what has nothing to do with
  // pings.
  static std::optional<EchoResponse> Parse(const IpAddress& from, std::span<const uint8_t> icmp);
};

// `icmp` with another id; its checksum is left to whoever sends it.
std::vector<uint8_t> WithId(std::span<const uint8_t> icmp, size_t id_offset, uint16_t id);

inline constexpr size_t kEchoIdOffset = 4;

}  // namespace bailey::netproxy
