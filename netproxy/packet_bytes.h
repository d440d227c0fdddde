// What stands in packets: addresses and 16-bit numbers in network order, and the records in which
// the `hold` program hands packets over. The caller has checked that the bytes are there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/ip_address.h"
#include "netproxy/bpf_types.h"

namespace bailey::netproxy {

inline uint16_t NumberAt(const uint8_t* bytes) {
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

inline IpAddress AddressAt(const uint8_t* bytes, bool v6) {
  if (!v6) return IpAddress::V4(uint32_t{NumberAt(bytes)} << 16 | NumberAt(bytes + 2));
  std::array<uint8_t, 16> all{};
  std::memcpy(all.data(), bytes, all.size());
  return IpAddress::V6(all);
}

// The packet in a record of `hold`; empty if it is none.
inline std::span<const uint8_t> HeldPacket(std::span<const std::byte> record) {
  bailey_held held{};
  if (record.size() < sizeof held) return {};
  std::memcpy(&held, record.data(), sizeof held);
  if (held.size > record.size() - sizeof held) return {};
  return {reinterpret_cast<const uint8_t*>(record.data()) + sizeof held, held.size};
}

}  // namespace bailey::netproxy
