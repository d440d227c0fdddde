// Items of the API as text: the five formats of -o. Pure.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bailey::tenants {

enum class OutputFormat { kTable, kJson, kYaml, kCsv, kName };
std::optional<OutputFormat> ParseOutputFormat(std::string_view name);

// A column of tables and CSV.
struct Column {
  std::string title;  // "NAME"; CSV has it in small letters
  std::function<std::string(const boost::json::object& item)> text;
};

// How items of one kind are shown.
struct View {
  std::string kind;  // "Tenant"
  std::vector<Column> columns;
};

// Ends with a newline unless there is nothing to say (name, table or CSV of no items: a table and a
// CSV keep their title line).
std::string Render(OutputFormat format, const View& view, const boost::json::array& items);

// One item with everything in it, as indented "key: value" lines: what `show` prints for people.
std::string RenderDetail(const boost::json::object& item);

// A value that is neither object nor list as JSON has it, but 0.034955 for what Boost.JSON would
// write as 3.4955E-2.
std::string ScalarText(const boost::json::value& value);

// Text of a tenant's, fit for a terminal: control characters become '?'.
std::string Printable(std::string_view text);

}  // namespace bailey::tenants
