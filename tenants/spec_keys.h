// The table of the spec's keys: how each is read from JSON, checked, and written back. Everything
// that knows keys by name goes through it.
#pragma once

#include <boost/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tenants/spec.h"

namespace bailey::tenants {

struct SpecKey {
  const char* path;  // "limits.memory"
  // Errors name the value and say how to write it. On an error the spec is as before.
  Status (*read)(const boost::json::value& value, Spec& spec);
  // null when the key is not set.
  boost::json::value (*write)(const Spec& spec);
  void (*unset)(Spec& spec);
};

std::span<const SpecKey> SpecKeys();
const SpecKey* FindSpecKey(std::string_view path);
// `path` is a table above keys: "limits", "network.egress".
bool IsSpecSection(std::string_view path);
// For an unknown `path`: `did you mean "memory"?`, or the keys that its section has.
std::string KeyHint(std::string_view path);

}  // namespace bailey::tenants
