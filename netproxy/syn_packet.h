// SynPacket: an outbound SYN of the tenant's that the `hold` program has taken away: what it says,
// and the three things that can become of it. All are packets by an IPPROTO_RAW socket inside.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/ip_address.h"
#include "base/result.h"
#include "netproxy/bpf_types.h"
#include "netproxy/raw_packet.h"

namespace bailey::netproxy {

class SynPacket {
 public:
  // A record of the ring buffer; nullopt if it is none. Reads nothing out of bounds.
  static std::optional<SynPacket> Parse(std::span<const std::byte> record);

  const Endpoint& from() const { return from_; }
  const Endpoint& to() const { return to_; }

  Status SendOn(int raw);                             // the destination accepts
  Status Refuse(int raw) const;                       // by a reset: ECONNREFUSED
  Status Unreach(int raw, Unreachable reason) const;  // by an ICMP error

 private:
  std::span<const uint8_t> Bytes() const { return {packet_.data(), size_}; }
  size_t IpBytes() const { return to_.address.is_v6() ? 40 : 20; }

  std::array<uint8_t, BAILEY_SYN_BYTES> packet_{};
  size_t size_ = 0;
  Endpoint from_, to_;
};

}  // namespace bailey::netproxy
