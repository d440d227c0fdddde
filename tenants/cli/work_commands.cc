// exec, shell, set.
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <string>

#include "base/files.h"
#include "tenants/cli/commands.h"
#include "tenants/cli/console.h"
#include "tenants/cli/exec_session.h"
#include "tenants/cli/terminal.h"
#include "tenants/cli/views.h"
#include "tenants/spec_json.h"
#include "tenants/spec_keys.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// What Bailey itself cannot do for an exec, so that no status of a command's is mistaken for it.
int ExecFailure(const Context& context, const Failure& failure) {
  PrintFailure(failure, context.format);
  return static_cast<int>(ExitCode::kExecFailed);
}

Outcome<json::array> Environment(const ExecCommand& command, bool tty) {
  json::array env;
  if (tty)
    if (const char* term = std::getenv("TERM"); term != nullptr)
      env.emplace_back("TERM=" + std::string(term));
  for (const std::string& pair : command.env) {
    if (pair.find('=') != std::string::npos) {
      env.emplace_back(pair);
      continue;
    }
    const char* value = std::getenv(pair.c_str());
    if (value == nullptr) return Failure::Usage("you have no variable " + pair + " to pass on");
    env.emplace_back(pair + "=" + value);
  }
  return env;
}

Outcome<std::string> ExecBody(const ExecCommand& command, bool tty) {
  auto env = Environment(command, tty);
  if (!env) return env.error();
  json::object body{{"argv", json::array(command.argv.begin(), command.argv.end())}, {"tty", tty}};
  if (!env->empty()) body["env"] = std::move(*env);
  if (!command.user.empty()) body["user"] = command.user;
  if (!command.cwd.empty()) body["cwd"] = command.cwd;
  if (const auto size = WindowSize(STDIN_FILENO); tty && size) {
    body["rows"] = size->ws_row;
    body["cols"] = size->ws_col;
  }
  return json::serialize(body);
}

void PassOutput(int stream, std::string_view bytes) {
  [[maybe_unused]] const Status written = WriteAll(stream, bytes);
}

// A setting's value as the API takes it: read as its key reads it, or null to unset.
Outcome<json::value> SettingValue(const Setting& setting) {
  if (setting.second.empty()) return json::value();
  Spec spec;
  if (const Status set = SetSpecKeyText(spec, setting.first, setting.second); !set)
    return Failure::From(set.error());
  return FindSpecKey(setting.first)->write(spec);
}

// A running tenant whose own layer is a plain directory gets its disk when it is started.
bool DiskComesLater(const json::object& changes, const json::array& items) {
  if (!changes.contains("limits.disk") || items.empty() || !items.front().is_object()) return false;
  const json::object& item = items.front().get_object();
  const json::object wanted{{"disk", changes.at("limits.disk")}};
  return MemberText(item, "state") == "running" && MemberNumber(wanted, "disk") > 0 &&
         MemberText(item, "limits.disk").empty();
}

}  // namespace

int Run(const Context& context, const ExecCommand& command) {
  const bool terminal = IsTerminal(STDIN_FILENO);
  const bool tty = command.shell ? terminal && IsTerminal(STDOUT_FILENO) : command.tty;
  if (tty && !terminal)
    return ExecFailure(context,
                       Failure::Usage("-t needs a terminal, and stdin is none", "leave out -t"));
  auto body = ExecBody(command, tty);
  if (!body) return ExecFailure(context, body.error());
  auto connection = context.api.Upgrade("/v1/tenants/" + command.name + "/exec", *body);
  if (!connection) return ExecFailure(context, connection.error());
  const bool input = command.interactive || tty;
  auto status = RunExecSession(std::move(*connection), {input ? STDIN_FILENO : -1, PassOutput});
  if (!status) return ExecFailure(context, status.error());
  return *status;
}

int Run(const Context& context, const SetCommand& command) {
  json::object changes;
  for (const Setting& setting : command.settings) {
    auto value = SettingValue(setting);
    if (!value) return PrintFailure(value.error(), context.format);
    changes[setting.first] = std::move(*value);
  }
  auto items = context.api.Items(
      {"PATCH", "/v1/tenants/" + command.name, json::serialize(changes), "application/json"});
  if (!items) return PrintFailure(items.error(), context.format);
  std::string keys;
  for (const Setting& setting : command.settings)
    keys += (keys.empty() ? "" : ", ") + setting.first;
  PrintMessage(command.name + ": " + keys + " set");
  if (DiskComesLater(changes, *items))
    PrintMessage("the disk limit holds from the next start: bailey restart " + command.name);
  if (context.format_given) PrintData(Render(context.format, TenantView(), *items));
  return 0;
}

}  // namespace bailey::tenants
