// create, launch, start, stop, restart, suspend, resume, rm.
#include <unistd.h>

#include <boost/json.hpp>
#include <optional>
#include <string>

#include "base/files.h"
#include "tenants/cli/commands.h"
#include "tenants/cli/console.h"
#include "tenants/cli/interrupt_scope.h"
#include "tenants/cli/views.h"
#include "tenants/spec_json.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// The last lines of a log that explain a failed start.
constexpr size_t kShownLogLines = 10;

std::string TenantTarget(const std::string& name, const std::string& action = {}) {
  return "/v1/tenants/" + name + (action.empty() ? "" : "/" + action);
}

void PrintItemsIfAsked(const Context& context, const json::array& items) {
  if (context.format_given) PrintData(Render(context.format, TenantView(), items));
}

// The only template there is, for who named none.
Outcome<std::string> TheOnlyTemplate(const ApiClient& api) {
  auto templates = api.Items({"GET", "/v1/templates", {}, {}});
  if (!templates) return templates.error();
  if (templates->size() == 1) return MemberText(templates->front().as_object(), "name");
  if (templates->empty())
    return Failure::Usage("there is no template yet to make a tenant from",
                          "bailey template create busybox --busybox");
  std::string names;
  for (const json::value& item : *templates)
    names += (names.empty() ? "" : ", ") + MemberText(item.as_object(), "name");
  return Failure::Usage("which template? there are " + names, "add --template NAME");
}

Outcome<Spec> SpecFromOptions(const ApiClient& api, const CreateCommand& command) {
  Spec spec;
  std::vector<Setting> settings = command.settings;
  settings.emplace_back("tenant.name", command.name);
  for (const Setting& setting : settings)
    if (const Status set = SetSpecKeyText(spec, setting.first, setting.second); !set)
      return Failure::From(set.error());
  if (!spec.ip)
    return Failure::Usage("a tenant has exactly one address: say which",
                          "add --ip IP, an address that this host has (any 127.77.0.x is one)");
  if (!command.argv.empty()) spec.start = command.argv;
  for (const std::string& pair : command.env) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
      return Failure::Usage("'" + pair + "' is not K=V");
    if (!spec.env) spec.env.emplace();
    (*spec.env)[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  if (!spec.template_name) {
    auto only = TheOnlyTemplate(api);
    if (!only) return only.error();
    spec.template_name = std::move(*only);
  }
  return spec;
}

Outcome<ApiRequest> CreateRequest(const ApiClient& api, const CreateCommand& command) {
  ApiRequest request{"POST", "/v1/tenants", {}, "application/json"};
  if (command.file.empty()) {
    auto spec = SpecFromOptions(api, command);
    if (!spec) return spec.error();
    request.body = json::serialize(SpecToJson(*spec));
    return request;
  }
  request.content_type = "application/toml";
  auto text = command.file == "-" ? ReadAll(STDIN_FILENO) : ReadFile(command.file);
  if (!text) return Failure::Usage(text.error().Message(), "-f wants a spec in TOML");
  if (text->empty()) return Failure::Usage(command.file + " is empty", "-f wants a spec in TOML");
  request.body = std::move(*text);
  return request;
}

void PrintEndOfLog(const ApiClient& api, const std::string& name) {
  auto piece = api.Bytes(TenantTarget(name, "logs?offset=-4096"));
  if (!piece || piece->bytes.empty()) return;
  size_t start = piece->bytes.size();
  for (size_t lines = 0; start > 0; --start)
    if (piece->bytes[start - 1] == '\n' && start != piece->bytes.size() &&
        ++lines == kShownLogLines)
      break;
  PrintMessage("What its start command wrote last:");
  PrintMessage(piece->bytes.substr(start));
}

// A launch leaves either a running tenant or nothing.
int UndoLaunch(const Context& context, const std::string& name, const Failure& failure) {
  PrintEndOfLog(context.api, name);
  auto removed = context.api.Items({"DELETE", TenantTarget(name) + "?force=1", {}, {}});
  const int status = PrintFailure(failure, context.format);
  if (removed)
    PrintMessage("  " + name + " was removed again: nothing is left of it");
  else
    PrintMessage("  it could not be removed: " + removed.error().error.message +
                 "\n  try: bailey rm --force " + name);
  return status;
}

Outcome<json::array> StartUnlessInterrupted(const Context& context, const std::string& name,
                                            const InterruptScope& scope) {
  scope.Open();
  if (InterruptScope::Caught() == 0) {
    auto started = context.api.Items({"POST", TenantTarget(name, "start"), {}, {}});
    if (started || InterruptScope::Caught() == 0) return started;
  }
  Failure interrupted = Failure::From(ApiError{ApiCode::kFailed, "interrupted", name, {}, {}});
  interrupted.exit = static_cast<ExitCode>(128 + InterruptScope::Caught());
  return interrupted;
}

const char* ActionOf(LifeVerb verb) {
  switch (verb) {
    case LifeVerb::kStart:
      return "start";
    case LifeVerb::kStop:
      return "stop";
    case LifeVerb::kSuspend:
      return "suspend";
    case LifeVerb::kResume:
      return "resume";
    default:
      return "restart";
  }
}

std::string DoneText(LifeVerb verb, const json::object& item) {
  const std::string name = MemberText(item, "name");
  switch (verb) {
    case LifeVerb::kStart:
    case LifeVerb::kRestart:
      return name + " runs at " + MemberText(item, "ip");
    case LifeVerb::kStop:
      return name + " is stopped";
    case LifeVerb::kSuspend:
      return name + " is suspended";
    case LifeVerb::kResume:
      return name + " goes on at " + MemberText(item, "ip");
    case LifeVerb::kRemove:
      break;
  }
  return name + " is removed";
}

ApiRequest LifeRequest(const LifeCommand& command, const std::string& name) {
  if (command.verb == LifeVerb::kRemove)
    return {"DELETE", TenantTarget(name) + (command.force ? "?force=1" : ""), {}, {}};
  const std::string query = command.server.empty() ? "" : "?server=" + command.server;
  return {"POST", TenantTarget(name, ActionOf(command.verb)) + query, {}, {}};
}

}  // namespace

int Run(const Context& context, const CreateCommand& command) {
  auto request = CreateRequest(context.api, command);
  if (!request) return PrintFailure(request.error(), context.format);
  const InterruptScope scope;  // whether it was created must be known before it can be undone
  auto created = context.api.Items(*request);
  if (!created) {
    Failure failure = created.error();
    std::string& message = failure.error.message;
    // "3:1: …" is a place in the file.
    if (!command.file.empty() && !message.empty() && message[0] >= '0' && message[0] <= '9')
      message = command.file + ":" + message;
    return PrintFailure(failure, context.format);
  }
  const std::string name = MemberText(created->at(0).as_object(), "name");
  if (!command.launch) {
    PrintMessage(name + " is defined; bailey start " + name + " starts it");
    PrintItemsIfAsked(context, *created);
    return 0;
  }
  auto started = StartUnlessInterrupted(context, name, scope);
  if (!started) return UndoLaunch(context, name, started.error());
  PrintMessage(DoneText(LifeVerb::kStart, started->at(0).as_object()));
  PrintItemsIfAsked(context, *started);
  return 0;
}

// Every name is tried; the first failure decides the exit status.
int Run(const Context& context, const LifeCommand& command) {
  int status = 0;
  json::array done;
  for (const std::string& name : command.names) {
    auto items = context.api.Items(LifeRequest(command, name));
    if (!items) {
      const int failed = PrintFailure(items.error(), context.format);
      if (status == 0) status = failed;
      continue;
    }
    PrintMessage(DoneText(command.verb, items->at(0).as_object()));
    done.push_back(items->at(0));
  }
  if (status == 0) PrintItemsIfAsked(context, done);
  return status;
}

}  // namespace bailey::tenants
