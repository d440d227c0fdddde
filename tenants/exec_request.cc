#include "tenants/exec_request.h"

#include "tenants/spec_values.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr int kMostCells = 10'000;  // of a terminal, either way

Status ReadTexts(const json::value& value, std::vector<std::string>& out) {
  const json::array* list = value.if_array();
  if (list == nullptr) return Invalid("not a list of texts: " + Shown(value));
  for (const json::value& item : *list) {
    auto text = TextValue::Read(item);
    if (!text) return text.error();
    out.push_back(std::move(*text));
  }
  return {};
}

Status ReadText(const json::value& value, std::string& out) {
  auto text = TextValue::Read(value);
  if (!text) return text.error();
  out = std::move(*text);
  return {};
}

Status ReadFlag(const json::value& value, bool& out) {
  if (!value.is_bool()) return Invalid("not true or false: " + Shown(value));
  out = value.get_bool();
  return {};
}

Status ReadCells(const json::value& value, int& out) {
  json::error_code failed;
  out = value.to_number<int>(failed);
  if (failed || out < 0 || out > kMostCells) return Invalid("not a size: " + Shown(value));
  return {};
}

Status ReadKey(ExecRequest& request, std::string_view key, const json::value& value) {
  if (key == "argv") return ReadTexts(value, request.argv);
  if (key == "env") return ReadTexts(value, request.env);
  if (key == "cwd") return ReadText(value, request.cwd);
  if (key == "user") return ReadText(value, request.user);
  if (key == "tty") return ReadFlag(value, request.tty);
  if (key == "rows") return ReadCells(value, request.rows);
  if (key == "cols") return ReadCells(value, request.cols);
  if (key == "probe") return ReadFlag(value, request.probe);
  return Invalid("unknown key", "there are argv, env, cwd, user, tty, rows, cols, probe");
}

json::array Texts(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

}  // namespace

Result<ExecRequest> ExecRequest::FromJson(const json::object& body) {
  ExecRequest request;
  for (const auto& member : body) {
    const std::string key(member.key());
    if (const Status read = ReadKey(request, key, member.value()); !read)
      return read.error().Within(key);
  }
  if (request.probe && request.argv.empty()) request.argv = {"bailey-probe"};
  if (request.argv.empty() || request.argv.front().empty())
    return Invalid("argv has no program", "bailey exec NAME -- COMMAND ARG…");
  for (const std::string& variable : request.env)
    if (variable.find('=') == std::string::npos || variable.front() == '=')
      return Invalid("env: not NAME=VALUE: " + Shown(json::string(variable)));
  return request;
}

json::object ExecRequest::ToSupervisor() const {
  json::object request{{"op", "exec"}, {"argv", Texts(argv)}, {"env", Texts(env)}, {"tty", tty}};
  if (!cwd.empty()) request["cwd"] = cwd;
  if (!user.empty()) request["user"] = user;
  if (rows > 0) request["rows"] = rows;
  if (cols > 0) request["cols"] = cols;
  if (probe) request["program"] = true;
  return request;
}

std::string SessionError(int status, const std::string& message) {
  return json::serialize(json::object{{"exit", status}, {"error", message}}) + "\n";
}

}  // namespace bailey::tenants
