#include "tenants/spec.h"

#include <algorithm>

namespace bailey::tenants {
void throw_exception_from_error(const SpecProblem& problem, const boost::source_location& where) {
  bailey::throw_exception_from_error(problem.error, where);
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
