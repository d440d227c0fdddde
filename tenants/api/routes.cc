#include "tenants/api/routes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <vector>

namespace bailey::tenants {
namespace {

namespace http = boost::beast::http;

// The log is sent in pieces of at most this many bytes.
constexpr size_t kLogPiece = 1 << 20;

struct Row {
  http::verb method;
  std::string_view path;  // "T" stands for a tenant's name, "M" for a template's
  std::string_view op;
  BodyKind body = BodyKind::kNone;
  Delivery delivery = Delivery::kItems;
};

constexpr auto kRows = std::to_array<Row>({
    {http::verb::get, "/v1/tenants", "tenants.list"},
    {http::verb::post, "/v1/tenants", "tenants.create", BodyKind::kSpec},
    {http::verb::get, "/v1/tenants/T", "tenants.show"},
    {http::verb::get, "/v1/tenants/T/fs", "tenants.fs"},
    {http::verb::delete_, "/v1/tenants/T", "tenants.remove"},
    {http::verb::patch, "/v1/tenants/T", "tenants.set", BodyKind::kObject},
    {http::verb::post, "/v1/tenants/T/start", "tenants.start"},
    {http::verb::post, "/v1/tenants/T/stop", "tenants.stop"},
    {http::verb::post, "/v1/tenants/T/restart", "tenants.restart"},
    {http::verb::post, "/v1/tenants/T/suspend", "tenants.suspend"},
    {http::verb::post, "/v1/tenants/T/resume", "tenants.resume"},
    {http::verb::post, "/v1/tenants/T/exec", "tenants.exec.check", BodyKind::kObject,
     Delivery::kUpgrade},
    {http::verb::get, "/v1/tenants/T/logs", "tenants.logs", BodyKind::kNone, Delivery::kLog},
    {http::verb::get, "/v1/templates", "templates.list"},
    {http::verb::post, "/v1/templates", "templates.create", BodyKind::kObject},
    {http::verb::delete_, "/v1/templates/M", "templates.remove"},
    {http::verb::get, "/v1/events", "events.list"},
    {http::verb::get, "/v1/doctor", "doctor"},
    {http::verb::get, "/metrics", "metrics"},
});

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t start = 0;;) {
    const size_t end = text.find(separator, start);
    parts.push_back(text.substr(start, end == std::string_view::npos ? end : end - start));
    if (end == std::string_view::npos) return parts;
    start = end + 1;
  }
}

// The name that stands for T or M in the row's path; nothing when the path is another.
std::optional<std::string_view> Match(std::string_view pattern, std::string_view path) {
  const auto wanted = Split(pattern, '/');
  const auto given = Split(path, '/');
  if (wanted.size() != given.size()) return std::nullopt;
  std::string_view name;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == "T" || wanted[i] == "M") {
      name = given[i];
    } else if (wanted[i] != given[i]) {
      return std::nullopt;
    }
  }
  return name;
}

Refusal Usage(std::string message, std::string hint = {}) {
  return {400, {ApiCode::kUsage, std::move(message), {}, {}, std::move(hint)}, {}};
}

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsTenantName(std::string_view name) {
  return !name.empty() && name.size() <= 32 && IsLower(name.front()) &&
         std::ranges::all_of(name, [](char c) { return IsLower(c) || IsDigit(c) || c == '-'; });
}

bool IsTemplateName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && (IsLower(name.front()) || IsDigit(name.front())) &&
         std::ranges::all_of(name, [](char c) {
           return IsLower(c) || IsDigit(c) || c == '-' || c == '.' || c == '_';
         });
}

template <class Number>
bool ParseNumber(std::string_view text, Number* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// One "key=value" of the query, into the route. False when the operation has no such key, or the
// value is not what it should be.
bool TakeParameter(std::string_view key, std::string_view value, Route* route) {
  if (route->op == "tenants.remove" && key == "force") {
    if (value != "0" && value != "1") return false;
    route->args["force"] = value == "1";
    return true;
  }
  if (route->op == "tenants.restart" && key == "server") {
    route->args["server"] = boost::json::string_view(value.data(), value.size());
    return value == "net";
  }
  if (route->op == "tenants.logs" && key == "offset") return ParseNumber(value, &route->offset);
  if (route->op == "tenants.logs" && key == "limit") {
    if (!ParseNumber(value, &route->limit) || route->limit == 0) return false;
    route->limit = std::min(route->limit, kLogPiece);
    return true;
  }
  if (route->op == "events.list" && key == "tenant") {
    route->args["tenant"] = boost::json::string_view(value.data(), value.size());
    return IsTenantName(value);
  }
  if (route->op == "events.list" && key == "limit") {
    uint32_t limit = 0;
    if (!ParseNumber(value, &limit) || limit == 0) return false;
    route->args["limit"] = limit;
    return true;
  }
  return false;
}

std::optional<Refusal> TakeQuery(std::string_view query, Route* route) {
  if (query.empty()) return std::nullopt;
  for (const std::string_view pair : Split(query, '&')) {
    const size_t equals = pair.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    if (!TakeParameter(pair.substr(0, equals), value, route))
      return Usage("cannot use the parameter " + std::string(pair));
  }
  return std::nullopt;
}

std::variant<Route, Refusal> Take(const Row& row, std::string_view name, std::string_view query) {
  Route route;
  route.op = row.op;
  route.body = row.body;
  route.delivery = row.delivery;
  route.limit = kLogPiece;
  if (row.path.find("/T") != std::string_view::npos) {
    if (!IsTenantName(name))
      return Usage("'" + std::string(name) + "' is no name of a tenant",
                   "names are small letters, digits and dashes, a letter first, at most 32");
    route.tenant = name;
  } else if (row.path.ends_with("/M")) {
    if (!IsTemplateName(name))
      return Usage("'" + std::string(name) + "' is no name of a template",
                   "bailey template ls shows those that exist");
    route.args["name"] = boost::json::string_view(name.data(), name.size());
  }
  if (auto refusal = TakeQuery(query, &route)) return *std::move(refusal);
  return route;
}

}  // namespace

std::variant<Route, Refusal> FindRoute(Surface surface, http::verb method,
                                       std::string_view target) {
  const size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  const std::string_view query =
      question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  std::string allow;
  for (const Row& row : kRows) {
    if (surface == Surface::kMetrics && row.op != "metrics") continue;
    const auto name = Match(row.path, path);
    if (!name) continue;
    if (row.method == method) return Take(row, *name, query);
    if (!allow.empty()) allow += ", ";
    allow += http::to_string(row.method);
  }
  if (allow.empty())
    return Refusal{404, {ApiCode::kNotFound, "there is no " + std::string(path), {}, {}, {}}, {}};
  return Refusal{405,
                 {ApiCode::kUsage,
                  std::string(path) + " does not take this method",
                  {},
                  {},
                  "it takes " + allow},
                 allow};
}

}  // namespace bailey::tenants
