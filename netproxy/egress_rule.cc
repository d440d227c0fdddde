#include "netproxy/egress_rule.h"

#include <charconv>

#include "netproxy/special_ranges.h"

namespace bailey::netproxy {
namespace {

constexpr const char* kHint =
    "write it like 10.0.0.5:3306, 10.0.0.0/8, *:25, [2001:db8::1]:443 or 192.0.2.1:8000-8010";

Error NotARule(std::string_view text) {
  return Invalid("not a destination: \"" + std::string(text) + "\"", kHint);
}

Result<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0)
    return Invalid("not a port: \"" + std::string(text) + "\"", "a port is 1 to 65535");
  return port;
}

Result<PortRange> ParsePorts(std::string_view text) {
  const size_t dash = text.find('-');
  const auto first = ParsePort(text.substr(0, dash));
  if (!first) return first.error();
  if (dash == std::string_view::npos) return PortRange{*first, *first};
  const auto last = ParsePort(text.substr(dash + 1));
  if (!last) return last.error();
  if (*last < *first) return Invalid("ports end before they begin: \"" + std::string(text) + "\"");
  return PortRange{*first, *last};
}

// The address part and the port part of a rule; the latter empty when there is none.
struct Halves {
  std::string_view address, ports;
  bool has_ports = false;
};

Result<Halves> Split(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return NotARule(text);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return NotARule(text);
    const std::string_view address = text.substr(1, close - 1);
    if (address.find(':') == std::string_view::npos) return NotARule(text);
    return Halves{address, rest.empty() ? rest : rest.substr(1), !rest.empty()};
  }
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return Halves{text, {}, false};
  if (text.find(':', colon + 1) == std::string_view::npos)
    return Halves{text.substr(0, colon), text.substr(colon + 1), true};
  if (text.find('/') == std::string_view::npos)
    return Invalid("an IPv6 address needs brackets: \"" + std::string(text) + "\"", kHint);
  return Halves{text, {}, false};
}

}  // namespace

Result<EgressRule> EgressRule::Parse(std::string_view text) {
  const auto halves = Split(text);
  if (!halves) return halves.error();
  EgressRule rule;
  if (halves->address != "*") {
    const auto range = Cidr::Parse(halves->address);
    if (!range) return range.error().hint.empty() ? range.error().WithHint(kHint) : NotARule(text);
    rule.range = Unmapped(*range);
  }
  if (halves->has_ports) {
    const auto ports = ParsePorts(halves->ports);
    if (!ports) return ports.error();
    rule.ports = *ports;
  }
  return rule;
}

std::string EgressRule::ToString() const {
  std::string text = range ? range->ToString() : "*";
  if (range && range->address.is_v6()) text = "[" + text + "]";
  if (ports.All()) return text;
  text += ":" + std::to_string(ports.first);
  return ports.first == ports.last ? text : text + "-" + std::to_string(ports.last);
}

bool EgressRule::Matches(const Endpoint& destination) const {
  return ports.Contains(destination.port) && (!range || range->Contains(destination.address));
}

bool IsWithin(const Cidr& inner, const Cidr& outer) {
  return inner.prefix >= outer.prefix && outer.Contains(inner.address);
}

}  // namespace bailey::netproxy
