// The spec as JSON: {"tenant":{"name":…},"limits":{…},…}, the keys and values of the TOML form.
// What the API takes and shows, and what the store keeps.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "tenants/spec.h"

namespace bailey::tenants {

// Keys that are set, in the table's order: equal specs give equal text.
boost::json::object SpecToJson(const Spec& spec);
// Unknown keys and bad values are refused. What is missing is not: CheckComplete() does that.
SpecResult<Spec> SpecFromJson(const boost::json::object& object);
// As one error, "limits.memory: not a size: …", complete specs only.
Result<Spec> ParseSpecJson(std::string_view text);
Result<Spec> ReadSpecJson(const boost::json::object& object);
// A problem as an error that names its key.
Error ToError(const SpecProblem& problem);

// `bailey set`: one key. null puts it back to the plan's value or the default.
Status SetSpecKey(Spec& spec, std::string_view path, const boost::json::value& value);
// The same from the command line's text: 1.5, true, ["a"] as JSON reads them, else a text.
Status SetSpecKeyText(Spec& spec, std::string_view path, std::string_view text);

// `written`, with what it leaves out taken from `plan`, and then from Bailey's defaults.
Spec Effective(const Spec& written, const Spec& plan);

}  // namespace bailey::tenants
