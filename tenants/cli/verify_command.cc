// verify: bailey-probe inside a tenant, wall by wall.
#include <unistd.h>

#include <boost/json.hpp>
#include <string>

#include "tenants/cli/commands.h"
#include "tenants/cli/console.h"
#include "tenants/cli/exec_session.h"
#include "tenants/cli/verify_report.h"
#include "tenants/cli/views.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// What the probe must know to tell a wall from a hole.
std::string ProbeBody(const json::object& tenant) {
  json::array argv = {"bailey-probe", "--ip", json::string(MemberText(tenant, "ip")),
                      // A process outside, whose number means nothing inside.
                      "--outside-pid", json::string(std::to_string(::getpid()))};
  for (const char* name : {"mount", "raw_sockets", "set_hostname"}) {
    const std::string allowed = MemberText(tenant, std::string("spec.allow.") + name);
    // jail(8)'s default: a tenant may set its hostname unless it is forbidden to.
    const bool otherwise = name == std::string_view("set_hostname");
    if (allowed == "true" || (allowed.empty() && otherwise)) {
      argv.push_back("--allow");
      argv.push_back(json::string(name));
    }
  }
  return json::serialize(json::object{{"argv", std::move(argv)}, {"probe", true}});
}

// The data is on stdout already: failures are messages only.
int Conclude(const std::string& name, const VerifyReport& report, int status) {
  const size_t attempts = report.attempts().size();
  if (status != 0 || !report.complete() || attempts == 0)
    return PrintFailure(
        Failure::From(ApiError{ApiCode::kFailed,
                               "the probe broke off after " + std::to_string(attempts) +
                                   " attempts, with status " + std::to_string(status),
                               name, "exec", "bailey logs and the supervisor's log may tell why"}),
        OutputFormat::kTable);
  if (report.failures() == 0) {
    PrintMessage(name + ": " + std::to_string(attempts) + " attempts, every wall holds");
    return 0;
  }
  PrintMessage(name + ": " + std::to_string(report.failures()) + " of " + std::to_string(attempts) +
               " attempts got through");
  return static_cast<int>(ExitCode::kFailed);
}

}  // namespace

int Run(const Context& context, const VerifyCommand& command) {
  auto tenant = context.api.Items({"GET", "/v1/tenants/" + command.name, {}, {}});
  if (!tenant) return PrintFailure(tenant.error(), context.format);
  auto connection = context.api.Upgrade("/v1/tenants/" + command.name + "/exec",
                                        ProbeBody(tenant->at(0).as_object()));
  if (!connection) return PrintFailure(connection.error(), context.format);
  VerifyReport report;
  auto status =
      RunExecSession(std::move(*connection), {-1, [&report](int stream, std::string_view bytes) {
                                                if (stream == 1)
                                                  report.Take(bytes);
                                                else
                                                  PrintMessage(Printable(bytes));
                                              }});
  if (!status) return PrintFailure(status.error(), context.format);
  PrintData(Render(context.format, AttemptView(), report.attempts()));
  return Conclude(command.name, report, *status);
}

}  // namespace bailey::tenants
