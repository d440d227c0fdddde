// template create, ls, rm.
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tenants/cli/commands.h"
#include "tenants/cli/console.h"
#include "tenants/cli/terminal.h"
#include "tenants/cli/views.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

Outcome<std::string> RequestBody(const TemplateCreateCommand& command) {
  json::object body{{"name", command.name}, {"kind", command.kind}};
  if (!command.suite.empty()) body["suite"] = command.suite;
  if (!command.mirror.empty()) body["mirror"] = command.mirror;
  if (!command.include.empty())
    body["include"] = json::array(command.include.begin(), command.include.end());
  if (!command.path.empty()) {
    // The daemon opens it, and has another current directory.
    std::error_code failed;
    const auto absolute = std::filesystem::absolute(command.path, failed);
    if (failed || !std::filesystem::exists(absolute, failed))
      return Failure::Usage("there is no file " + command.path);
    body["path"] = absolute.string();
  }
  return json::serialize(body);
}

}  // namespace

int Run(const Context& context, const TemplateCreateCommand& command) {
  auto body = RequestBody(command);
  if (!body) return PrintFailure(body.error(), context.format);
  Outcome<json::array> made = [&] {
    ProgressBar bar;
    return context.api.Stream({"POST", "/v1/templates", *body, "application/json"},
                              [&bar](const json::object& line) {
                                bar.Show(MemberText(line, "progress.text"),
                                         static_cast<int>(MemberNumber(line, "progress.percent")));
                              });
  }();
  if (!made) return PrintFailure(made.error(), context.format);
  PrintMessage("template " + command.name + " is ready");
  if (context.format_given) PrintData(Render(context.format, TemplateView(), *made));
  return 0;
}

int Run(const Context& context, const TemplateListCommand&) {
  auto items = context.api.Items({"GET", "/v1/templates", {}, {}});
  if (!items) return PrintFailure(items.error(), context.format);
  PrintData(Render(context.format, TemplateView(), *items));
  if (items->empty() && context.format == OutputFormat::kTable)
    PrintMessage("No templates yet. Try: bailey template create busybox --busybox");
  return 0;
}

int Run(const Context& context, const TemplateRemoveCommand& command) {
  int status = 0;
  for (const std::string& name : command.names) {
    auto items = context.api.Items({"DELETE", "/v1/templates/" + name, {}, {}});
    if (items) {
      PrintMessage("template " + name + " is removed");
      continue;
    }
    const int failed = PrintFailure(items.error(), context.format);
    if (status == 0) status = failed;
  }
  return status;
}

}  // namespace bailey::tenants
