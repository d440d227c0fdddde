// The spec as TOML, the form that people write (DESIGN.md §7). Errors begin with the line and the
// column: "7:10: limits.memory: not a size: …". Runs where nothing can be gained by taking the
// parser over: in the API child, and in `bailey` for the file of the person who calls it.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tenants/spec.h"

namespace bailey::tenants {

struct TomlPlace {
  uint32_t line = 0, column = 0;
};

// A TOML document as JSON, and where every key and every value of it stands, by path.
struct TomlDocument {
  boost::json::object root;
  std::map<std::string, TomlPlace, std::less<>> keys, values;

  // `error`, behind the place of `path` if that is known.
  Error At(const std::string& path, bool at_key, const Error& error) const;
};
Result<TomlDocument> ParseToml(std::string_view text);

// Complete specs only.
Result<Spec> SpecFromToml(std::string_view text);
// A plan's file: [process], [limits], [network] and [allow], all optional; no [tenant].
Result<Spec> PlanFromToml(std::string_view text);

}  // namespace bailey::tenants
