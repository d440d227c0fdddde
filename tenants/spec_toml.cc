#include "tenants/spec_toml.h"

#include <sstream>
#include <utility>

namespace {
struct ParserAssertion {};
// A function, since some of the library's assertions stand where nothing may be thrown: those end
// the process, as assert() does.
[[noreturn]] void FailParserAssertion() { throw ParserAssertion{}; }
}  // namespace

// toml++ 3.3 asserts what "[.]" breaks: without NDEBUG the text of a stranger would end us, with it
// the behaviour is undefined. A failed assertion is an error of the text.
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? void() : FailParserAssertion())
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "tenants/spec_json.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

TomlPlace PlaceOf(const toml::source_position& position) {
  return {position.line, position.column};
}

std::string PlaceText(const TomlPlace& place) {
  return std::to_string(place.line) + ":" + std::to_string(place.column);
}

json::value ToJson(const toml::node& node, const std::string& path, TomlDocument& document);

json::object ToObject(const toml::table& table, const std::string& path, TomlDocument& document) {
  json::object object;
  for (const auto& [key, node] : table) {
    const std::string inner = path.empty() ? std::string(key.str()) : path + '.' + key.str().data();
    document.keys.try_emplace(inner, PlaceOf(key.source().begin));
    document.values.try_emplace(inner, PlaceOf(node.source().begin));
    object[json::string_view(key.str().data(), key.str().size())] = ToJson(node, inner, document);
  }
  return object;
}

json::value ToJson(const toml::node& node, const std::string& path, TomlDocument& document) {
  if (const toml::table* table = node.as_table()) return ToObject(*table, path, document);
  if (const toml::array* array = node.as_array()) {
    json::array list;
    for (const toml::node& item : *array) list.push_back(ToJson(item, path, document));
    return list;
  }
  if (const auto* text = node.as_string()) return json::string(text->get());
  if (const auto* whole = node.as_integer()) return whole->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  // Dates and times: no key takes one, so that they are refused as the text that they were.
  std::ostringstream text;
  node.visit([&text](const auto& value) { text << value; });
  return json::string(text.str());
}

Result<Spec> Read(const TomlDocument& document) {
  auto spec = SpecFromJson(document.root);
  if (spec) return std::move(*spec);
  const SpecProblem& problem = spec.error();
  return document.At(problem.path, problem.at_key, ToError(problem));
}

}  // namespace

Error TomlDocument::At(const std::string& path, bool at_key, const Error& error) const {
  const auto& places = at_key ? keys : values;
  const auto found = places.find(path);
  return found == places.end() ? error : error.Within(PlaceText(found->second));
}

Result<TomlDocument> ParseToml(std::string_view text) try {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return Invalid(std::string(error.description()), "see toml.io for how TOML is written")
        .Within(PlaceText(PlaceOf(error.source().begin)));
  }
  TomlDocument document;
  document.root = ToObject(parsed.table(), "", document);
  return document;
} catch (const ParserAssertion&) {
  return Invalid("this is no TOML", "see toml.io for how TOML is written");
}

Result<Spec> SpecFromToml(std::string_view text) {
  auto document = ParseToml(text);
  if (!document) return document.error();
  auto spec = Read(*document);
  if (!spec) return spec;
  if (auto complete = CheckComplete(*spec); !complete) {
    const SpecProblem& problem = complete.error();
    return document->At("tenant", true, ToError(problem));
  }
  return spec;
}

Result<Spec> PlanFromToml(std::string_view text) {
  auto document = ParseToml(text);
  if (!document) return document.error();
  if (document->root.contains("tenant"))
    return document->At("tenant", true,
                        Invalid("a plan has no [tenant]",
                                "it has [process], [limits], [network] "
                                "and [allow]"));
  return Read(*document);
}

}  // namespace bailey::tenants
