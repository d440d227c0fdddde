#include "base/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace bailey {
namespace {

// The address with all bits beyond `prefix` cleared.
std::array<uint8_t, 16> Masked(std::array<uint8_t, 16> bytes, int prefix) {
  for (int i = 0; i < 16; ++i) {
    const int keep = std::clamp(prefix - i * 8, 0, 8);
    bytes[static_cast<size_t>(i)] &= static_cast<uint8_t>(0xff << (8 - keep));
  }
  return bytes;
}

}  // namespace

Result<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string copy(text);
  IpAddress address;
  address.v6_ = copy.find(':') != std::string::npos;
  // inet_pton takes nothing but the usual forms: no octal, no short "127.1", no zone.
  if (::inet_pton(address.family(), copy.c_str(), address.bytes_.data()) != 1 ||
      copy.size() != std::strlen(copy.c_str()))
    return Invalid("not an IP address: \"" + copy + "\"",
                   "write it like 203.0.113.7 or 2001:db8::7");
  return address;
}

IpAddress IpAddress::V4(uint32_t host_order) {
  IpAddress address;
  const uint32_t network = htonl(host_order);
  std::memcpy(address.bytes_.data(), &network, sizeof network);
  return address;
}

IpAddress IpAddress::V6(const std::array<uint8_t, 16>& network_order) {
  IpAddress address;
  address.v6_ = true;
  address.bytes_ = network_order;
  return address;
}

uint32_t IpAddress::v4() const {
  uint32_t network = 0;
  std::memcpy(&network, bytes_.data(), sizeof network);
  return ntohl(network);
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(family(), bytes_.data(), text, sizeof text);
  return text;
}

Endpoint Endpoint::FromSockaddr(const sockaddr* address) {
  Endpoint endpoint;
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    endpoint = {IpAddress::V4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)};
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof in);
    std::array<uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    endpoint = {IpAddress::V6(bytes), ntohs(in.sin6_port)};
  }
  return endpoint;
}

socklen_t Endpoint::ToSockaddr(sockaddr_storage* out) const {
  std::memset(out, 0, sizeof *out);
  if (address.is_v6()) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::memcpy(&in.sin6_addr, address.bytes().data(), sizeof in.sin6_addr);
    std::memcpy(out, &in, sizeof in);
    return sizeof in;
  }
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(address.v4());
  std::memcpy(out, &in, sizeof in);
  return sizeof in;
}

std::string Endpoint::ToString() const {
  const std::string host = address.ToString();
  return (address.is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Cidr> Cidr::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  auto address = IpAddress::Parse(text.substr(0, slash));
  if (!address) return address.error();
  Cidr cidr{*address, address->bits()};
  if (slash == std::string_view::npos) return cidr;
  const std::string_view digits = text.substr(slash + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), cidr.prefix);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty() ||
      cidr.prefix < 0 || cidr.prefix > address->bits())
    return Invalid("not a prefix length: \"" + std::string(digits) + "\"");
  if (Masked(address->bytes(), cidr.prefix) != address->bytes())
    return Invalid("host bits are set in " + std::string(text));
  return cidr;
}

bool Cidr::Contains(const IpAddress& other) const {
  return other.is_v6() == address.is_v6() && Masked(other.bytes(), prefix) == address.bytes();
}

std::string Cidr::ToString() const {
  return prefix == address.bits() ? address.ToString()
                                  : address.ToString() + "/" + std::to_string(prefix);
}

}  // namespace bailey
