#include "tenants/cli/render.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

namespace bailey::tenants {
namespace {

namespace json = boost::json;

std::string_view Text(const json::string& text) { return {text.data(), text.size()}; }

// How many characters a terminal shows: bytes of UTF-8 that begin one.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned>(c) & 0xc0) != 0x80; }));
}

std::string RenderTable(const View& view, const json::array& items) {
  std::vector<std::vector<std::string>> rows(1);
  for (const Column& column : view.columns) rows[0].push_back(column.title);
  for (const json::value& item : items) {
    auto& row = rows.emplace_back();
    for (const Column& column : view.columns) {
      std::string cell = Printable(column.text(item.as_object()));
      row.push_back(cell.empty() ? "-" : std::move(cell));
    }
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) {
      out += row[c];
      if (c + 1 == row.size()) break;  // nothing behind the last column
      size_t widest = 0;
      for (const auto& other : rows) widest = std::max(widest, Width(other[c]));
      out.append(widest - Width(row[c]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

// RFC 4180, with the newline of this system.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string Lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string RenderCsv(const View& view, const json::array& items) {
  std::string out;
  for (size_t c = 0; c < view.columns.size(); ++c)
    out += (c > 0 ? "," : "") + CsvField(Lower(view.columns[c].title));
  out += '\n';
  for (const json::value& item : items) {
    for (size_t c = 0; c < view.columns.size(); ++c)
      out += (c > 0 ? "," : "") + CsvField(view.columns[c].text(item.as_object()));
    out += '\n';
  }
  return out;
}

void Indent(std::string* out, size_t depth) { out->append(depth * 2, ' '); }

void WriteJson(const json::value& value, size_t depth, std::string* out) {
  const bool object = value.is_object();
  const size_t size = object             ? value.get_object().size()
                      : value.is_array() ? value.get_array().size()
                                         : 0;
  if (size == 0) {
    *out += ScalarText(value);
    return;
  }
  *out += object ? "{\n" : "[\n";
  size_t written = 0;
  const auto separate = [&] { *out += ++written < size ? ",\n" : "\n"; };
  if (object) {
    for (const auto& member : value.get_object()) {
      Indent(out, depth + 1);
      *out += json::serialize(json::string(member.key())) + ": ";
      WriteJson(member.value(), depth + 1, out);
      separate();
    }
  } else {
    for (const json::value& item : value.get_array()) {
      Indent(out, depth + 1);
      WriteJson(item, depth + 1, out);
      separate();
    }
  }
  Indent(out, depth);
  *out += object ? "}" : "]";
}

// Plain where no reader of YAML 1.1 or 1.2 can take it for anything but that text, else quoted as
// in JSON, which is YAML too.
std::string YamlText(std::string_view text) {
  static constexpr std::array<std::string_view, 8> kWords = {"true", "false", "yes",  "no",
                                                             "on",   "off",   "null", "y"};
  const bool letters =
      !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) != 0 &&
      std::ranges::all_of(text, [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '/';
      });
  const std::string lower = Lower(std::string(text));
  if (letters && lower != "n" && std::ranges::find(kWords, lower) == kWords.end())
    return std::string(text);
  return json::serialize(json::string(text.data(), text.size()));
}

bool IsEmptyOrScalar(const json::value& value) {
  if (value.is_object()) return value.get_object().empty();
  if (value.is_array()) return value.get_array().empty();
  return true;
}

std::string YamlScalar(const json::value& value) {
  return value.is_string() ? YamlText(Text(value.get_string())) : ScalarText(value);
}

void WriteYaml(const json::value& value, size_t depth, std::string* out);

// A member or list item behind its "key:" or "-".
void WriteYamlBehind(const json::value& value, size_t depth, std::string* out) {
  if (IsEmptyOrScalar(value)) {
    *out += " " + YamlScalar(value) + "\n";
    return;
  }
  *out += '\n';
  WriteYaml(value, depth, out);
}

void WriteYaml(const json::value& value, size_t depth, std::string* out) {
  if (value.is_object()) {
    for (const auto& member : value.get_object()) {
      Indent(out, depth);
      *out += YamlText({member.key().data(), member.key().size()}) + ":";
      WriteYamlBehind(member.value(), depth + 1, out);
    }
  } else {
    for (const json::value& item : value.get_array()) {
      if (IsEmptyOrScalar(item)) {
        Indent(out, depth);
        *out += "- " + YamlScalar(item) + "\n";
        continue;
      }
      const size_t start = out->size();
      WriteYaml(item, depth + 1, out);
      (*out)[start + depth * 2] = '-';  // in the place of the first line's indentation
    }
  }
}

std::string RenderNames(const json::array& items) {
  std::string out;
  for (const json::value& item : items) {
    const json::value* name = item.as_object().if_contains("name");
    if (name != nullptr && name->is_string()) out += Printable(Text(name->get_string())) + "\n";
  }
  return out;
}

void WriteDetail(const json::object& object, size_t depth, std::string* out) {
  size_t widest = 0;
  for (const auto& member : object) widest = std::max(widest, member.key().size());
  for (const auto& member : object) {
    Indent(out, depth);
    *out += std::string(member.key()) + ":";
    const json::value& value = member.value();
    if (value.is_object() && !value.get_object().empty()) {
      *out += '\n';
      WriteDetail(value.get_object(), depth + 1, out);
      continue;
    }
    out->append(widest - member.key().size() + 1, ' ');
    const bool nothing = value.is_null() || (value.is_string() && value.get_string().empty()) ||
                         IsEmptyOrScalar(value) == (value.is_object() || value.is_array());
    if (nothing)
      *out += "-";
    else
      *out +=
          Printable(value.is_string() ? std::string(Text(value.get_string())) : ScalarText(value));
    *out += '\n';
  }
}

}  // namespace

std::optional<OutputFormat> ParseOutputFormat(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, OutputFormat>, 5> kFormats = {{
      {"table", OutputFormat::kTable},
      {"json", OutputFormat::kJson},
      {"yaml", OutputFormat::kYaml},
      {"csv", OutputFormat::kCsv},
      {"name", OutputFormat::kName},
  }};
  for (const auto& [known, format] : kFormats)
    if (known == name) return format;
  return std::nullopt;
}

std::string Render(OutputFormat format, const View& view, const json::array& items) {
  const auto document = [&] {
    return json::object{{"apiVersion", "bailey/v1"}, {"kind", view.kind}, {"items", items}};
  };
  std::string out;
  switch (format) {
    case OutputFormat::kTable:
      return RenderTable(view, items);
    case OutputFormat::kCsv:
      return RenderCsv(view, items);
    case OutputFormat::kName:
      return RenderNames(items);
    case OutputFormat::kJson:
      WriteJson(document(), 0, &out);
      return out + "\n";
    case OutputFormat::kYaml:
      WriteYaml(document(), 0, &out);
      return out;
  }
  return out;
}

std::string RenderDetail(const json::object& item) {
  std::string out;
  WriteDetail(item, 0, &out);
  return out;
}

std::string ScalarText(const json::value& value) {
  if (!value.is_double()) return json::serialize(value);
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value.get_double());
  return {text.data(), end.ptr};
}

std::string Printable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return out;
}

}  // namespace bailey::tenants
