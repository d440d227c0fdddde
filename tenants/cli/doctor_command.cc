// doctor.
#include <boost/json.hpp>
#include <cstdlib>
#include <string>

#include "base/child_process.h"
#include "tenants/cli/commands.h"
#include "tenants/cli/console.h"
#include "tenants/cli/views.h"
#include "tenants/doctor/host_checks.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

std::string FromEnvironment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

HostCheck CheckDaemon(const Context& context) {
  auto items = context.api.Items({"GET", "/v1/templates", {}, {}});
  if (items) return {"daemon", CheckResult::kOk, "answers", {}};
  return {"daemon", CheckResult::kWarning, items.error().error.message, items.error().error.hint};
}

json::object ItemOf(const HostCheck& check) {
  return {{"name", check.name},
          {"result", CheckResultName(check.result)},
          {"found", check.found},
          {"hint", check.hint}};
}

// Hints are sentences: below the table, where a line can be long.
void PrintForPeople(const json::array& items) {
  View narrow = CheckView();
  narrow.columns.pop_back();
  std::string text = Render(OutputFormat::kTable, narrow, items);
  for (const json::value& item : items) {
    const std::string hint = MemberText(item.as_object(), "hint");
    if (!hint.empty()) text += "\n" + MemberText(item.as_object(), "name") + ": " + hint;
  }
  PrintData(text.ends_with('\n') ? text : text + "\n");
}

}  // namespace

int Run(const Context& context, const DoctorCommand&) {
  auto checks =
      ExamineHost({ProgramDirectory(), FromEnvironment("BAILEY_STATE_DIR", "/var/lib/bailey"),
                   FromEnvironment("BAILEY_RUNTIME_DIR", "/run/bailey")});
  checks.push_back(CheckDaemon(context));
  json::array items;
  int missing = 0, warnings = 0;
  for (const HostCheck& check : checks) {
    items.push_back(ItemOf(check));
    missing += check.result == CheckResult::kMissing ? 1 : 0;
    warnings += check.result == CheckResult::kWarning ? 1 : 0;
  }
  if (context.format != OutputFormat::kTable) {
    PrintData(Render(context.format, CheckView(), items));
  } else {
    PrintForPeople(items);
    if (missing > 0)
      PrintMessage("This host is not fit yet: " + std::to_string(missing) + " missing.");
    else
      PrintMessage(
          "This host is fit for tenants" +
          (warnings > 0 ? ", with " + std::to_string(warnings) + " warnings." : std::string(".")));
  }
  return missing > 0 ? static_cast<int>(ExitCode::kFailed) : 0;
}

}  // namespace bailey::tenants
