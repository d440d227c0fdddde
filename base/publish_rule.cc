#include "base/publish_rule.h"

#include <charconv>

namespace bailey {
namespace {

constexpr std::string_view kUdp = "/udp", kTcp = "/tcp";
constexpr char kHint[] = "write it like 80, 10000-10099, 53/udp or 6000-6010/udp";

std::optional<uint16_t> Port(std::string_view text) {
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, failed] = std::from_chars(text.data(), end, port);
  if (failed != std::errc() || stopped != end || port == 0) return std::nullopt;
  return port;
}

}  // namespace

Result<PublishRule> PublishRule::Parse(std::string_view text) {
  PublishRule rule;
  std::string_view ports = text;
  if (ports.ends_with(kUdp)) rule.transport = Transport::kUdp;
  if (ports.ends_with(kUdp) || ports.ends_with(kTcp)) ports.remove_suffix(kUdp.size());
  const size_t dash = ports.find('-');
  const auto first = Port(ports.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : Port(ports.substr(dash + 1));
  if (!first || !last || *last < *first)
    return Invalid("not a port or a range of ports: \"" + std::string(text) + "\"", kHint);
  rule.first = *first;
  rule.last = *last;
  return rule;
}

std::string PublishRule::ToString() const {
  std::string text = std::to_string(first);
  if (last != first) text += "-" + std::to_string(last);
  return transport == Transport::kUdp ? text.append(kUdp) : text;
}

Result<PublishedPort> PublishedPort::Parse(std::string_view text) {
  const auto rule = PublishRule::Parse(text);
  if (!rule) return rule.error();
  if (rule->first != rule->last) return Invalid("not one port: \"" + std::string(text) + "\"");
  return PublishedPort{rule->transport, rule->first};
}

std::string PublishedPort::ToString() const {
  return PublishRule(transport, port, port).ToString();
}

}  // namespace bailey
