// EgressRule: destinations as people write them in a spec's `allow` and `deny` lists.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ip_address.h"
#include "base/result.h"

namespace bailey::netproxy {

// Both ends included. Port 0 stands for protocols without ports (ping): only "all ports" has it.
struct PortRange {
  uint16_t first = 0, last = 65535;

  bool All() const { return first == 0 && last == 65535; }
  bool Contains(uint16_t port) const { return first <= port && port <= last; }
  bool Within(const PortRange& other) const { return other.first <= first && last <= other.last; }
  auto operator<=>(const PortRange&) const = default;
};

struct EgressRule {
  std::optional<Cidr> range;  // nullopt: any address of either family
  PortRange ports;

  // "*"  "*:25"  "*:8000-8010"  "10.0.0.5"  "10.0.0.5:3306"  "10.0.0.0/8"  "10.0.0.0/8:5432"
  // "[2001:db8::1]"  "[2001:db8::1]:443"  "[2001:db8::/32]:443-444"  "2001:db8::/32"
  // An IPv6 address without a prefix needs its brackets: whether 2001:db8::1:443 ends in a port
  // must not be a guess. IPv4-mapped addresses become IPv4. Errors: Invalid, with a hint.
  static Result<EgressRule> Parse(std::string_view text);
  // The shortest form that Parse() reads back as the same rule.
  std::string ToString() const;

  bool Matches(const Endpoint& destination) const;
  auto operator<=>(const EgressRule&) const = default;
};

// `inner` is part of `outer` (or equal).
bool IsWithin(const Cidr& inner, const Cidr& outer);

}  // namespace bailey::netproxy
