#include "tenants/spec.h"

#include <algorithm>
#include <charconv>

namespace bailey::tenants {
namespace {

Result<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failed != std::errc() || end != text.data() + text.size() || port == 0)
    return Invalid("not a port: \"" + std::string(text) + "\"", "ports are 1 to 65535");
  return port;
}

// Where the address of a rule ends: at the ':' before a port, at ']', or at the end.
struct RuleParts {
  std::string_view address, port;
};
RuleParts SplitRule(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return {text, {}};
    // "[2001:db8::]/32:443": the prefix stands behind the bracket.
    const size_t colon = text.find(':', close);
    return {text.substr(0, colon),
            colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1)};
  }
  const size_t colon = text.find(':');
  // More than one ':' and no bracket: an IPv6 address alone.
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos)
    return {text, {}};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::string WithoutBrackets(std::string_view text) {
  std::string plain(text);
  std::erase_if(plain, [](char c) { return c == '[' || c == ']'; });
  return plain;
}

}  // namespace

void throw_exception_from_error(const SpecProblem& problem, const boost::source_location& where) {
  bailey::throw_exception_from_error(problem.error, where);
}

Result<EgressRule> EgressRule::Parse(std::string_view text) {
  const auto wrong = [&](const Error& why) {
    return Invalid("not a rule: \"" + std::string(text) + "\": " + why.Message(),
                   "write it like 10.0.0.5:3306, 10.0.0.0/8, [2001:db8::]/32:443 or *:25");
  };
  EgressRule rule;
  const RuleParts parts = SplitRule(text);
  if (parts.address != "*") {
    const auto where = Cidr::Parse(WithoutBrackets(parts.address));
    if (!where) return wrong(where.error());
    rule.where = *where;
  }
  if (parts.port.empty() && !text.ends_with(':')) return rule;
  const auto port = ParsePort(parts.port);
  if (!port) return wrong(port.error());
  rule.port = *port;
  return rule;
}

std::string EgressRule::ToString() const {
  std::string text = where ? where->ToString() : "*";
  if (port == 0) return text;
  if (where && where->address.is_v6()) {
    const size_t slash = text.find('/');
    text = "[" + text.substr(0, slash) + "]" +
           (slash == std::string::npos ? std::string() : text.substr(slash));
  }
  return text + ":" + std::to_string(port);
}

Status CheckTenantName(std::string_view name) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto fits = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-'; };
  if (!name.empty() && name.size() <= 32 && letter(name.front()) && std::ranges::all_of(name, fits))
    return {};
  return Invalid("not a tenant name: \"" + std::string(name) + "\"",
                 "use up to 32 of a-z, 0-9 and '-', beginning with a letter");
}

SpecResult<void> CheckComplete(const Spec& spec) {
  const auto missing = [](const char* path, const char* hint) {
    return SpecProblem{path, false, Invalid(std::string(path) + " is missing", hint)};
  };
  if (spec.name.empty()) return missing("tenant.name", "for example name = \"acme\"");
  if (!spec.ip) return missing("tenant.ip", "exactly one, for example ip = \"203.0.113.7\"");
  if (!spec.template_name)
    return missing("tenant.template", "bailey template ls shows those that exist");
  return {};
}

}  // namespace bailey::tenants
