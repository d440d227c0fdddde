// IpAddress, Endpoint and Cidr: one IPv4 or IPv6 address as a value, and ranges of them.
#pragma once

#include <netinet/in.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bailey {

// IPv4 is held in the first four bytes; an IPv4-mapped IPv6 address stays IPv6 here: judging it by
// what it carries is the policy's business.
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static Result<IpAddress> Parse(std::string_view text);
  static IpAddress V4(uint32_t host_order);
  static IpAddress V6(const std::array<uint8_t, 16>& network_order);

  bool is_v6() const { return v6_; }
  int family() const { return v6_ ? AF_INET6 : AF_INET; }
  int bits() const { return v6_ ? 128 : 32; }
  uint32_t v4() const;  // host order; only for IPv4
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  std::string ToString() const;  // RFC 5952
  auto operator<=>(const IpAddress&) const = default;

 private:
  bool v6_ = false;
  std::array<uint8_t, 16> bytes_{};  // network order
};

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;

  static Endpoint FromSockaddr(const sockaddr* address);
  socklen_t ToSockaddr(sockaddr_storage* out) const;  // returns its length
  std::string ToString() const;                       // 192.0.2.1:80, [2001:db8::1]:80
  auto operator<=>(const Endpoint&) const = default;
};

struct Cidr {
  IpAddress address;  // bits beyond `prefix` are 0
  int prefix = 0;

  // "10.0.0.0/8", or an address alone for its /32 or /128. EINVAL when host bits are set.
  static Result<Cidr> Parse(std::string_view text);
  bool Contains(const IpAddress& address) const;  // false across families
  std::string ToString() const;
  auto operator<=>(const Cidr&) const = default;
};

}  // namespace bailey
