// PublishRule: a port, or a range of them, of one transport protocol, that a tenant may have
// published: "80", "10000-10099", "53/udp". Plain values; no I/O; thread-safe.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bailey {

enum class Transport : uint8_t { kTcp, kUdp };

// One port, as the parts of Bailey name it to each other: "80" is TCP's, "53/udp" is UDP's.
struct PublishedPort {
  Transport transport = Transport::kTcp;
  uint16_t port = 0;

  static Result<PublishedPort> Parse(std::string_view text);
  std::string ToString() const;
  auto operator<=>(const PublishedPort&) const = default;
};

struct PublishRule {
  Transport transport = Transport::kTcp;
  uint16_t first = 0, last = 0;  // both included, never 0

  PublishRule() = default;
  // A number alone is a port of TCP's.
  // NOLINTNEXTLINE(google-explicit-constructor): lists of numbers are lists of rules.
  PublishRule(uint16_t port) : first(port), last(port) {}
  PublishRule(Transport of, uint16_t from, uint16_t to) : transport(of), first(from), last(to) {}

  // Errors: Invalid, with a hint.
  static Result<PublishRule> Parse(std::string_view text);
  std::string ToString() const;
  bool Contains(PublishedPort at) const {
    return at.transport == transport && first <= at.port && at.port <= last;
  }
  auto operator<=>(const PublishRule&) const = default;
};

// nullopt allows every port but 0.
inline bool MayPublish(const std::optional<std::vector<PublishRule>>& rules, PublishedPort port) {
  if (port.port == 0) return false;
  return !rules || std::any_of(rules->begin(), rules->end(),
                               [port](const PublishRule& rule) { return rule.Contains(port); });
}

}  // namespace bailey
