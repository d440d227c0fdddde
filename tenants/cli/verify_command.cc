// verify: bailey-probe inside a tenant, wall by wall.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstddef>
#include <string>

#include "tenants/cli/commands.h"
#include "tenants/cli/console.h"
#include "tenants/cli/exec_session.h"
#include "tenants/cli/verify_report.h"
#include "tenants/cli/views.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// Somebody listens on the host for the time of the trial, so that a connection which is refused was
// refused by a wall.
class Bait {
 public:
  Bait() {
    sockaddr_in loopback{};
    loopback.sin_family = AF_INET;
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tcp_ = Listen(AF_INET, &loopback, sizeof loopback);
    socklen_t length = sizeof loopback;
    if (tcp_ && ::getsockname(tcp_.get(), reinterpret_cast<sockaddr*>(&loopback), &length) == 0)
      port_ = ntohs(loopback.sin_port);
    sockaddr_un abstract{};
    abstract.sun_family = AF_UNIX;
    name_ = "bailey-verify-" + std::to_string(::getpid());
    std::copy(name_.begin(), name_.end(), abstract.sun_path + 1);
    unix_ = Listen(AF_UNIX, &abstract,
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size()));
  }
  // Without a bait the probe leaves its attempts out.
  int port() const { return port_; }
  std::string abstract() const { return unix_ ? name_ : std::string(); }

 private:
  static UniqueFd Listen(int family, const void* address, socklen_t length) {
    UniqueFd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(socket.get(), static_cast<const sockaddr*>(address), length) != 0 ||
        ::listen(socket.get(), 8) != 0)
      socket.Reset();
    return socket;
  }

  UniqueFd tcp_, unix_;
  int port_ = 0;
  std::string name_;
};

// What the probe must know to tell a wall from a hole.
std::string ProbeBody(const json::object& tenant, const Bait& bait) {
  json::array argv = {"bailey-probe", "--ip", json::string(MemberText(tenant, "ip")),
                      "--outside-port", json::string(std::to_string(bait.port())),
                      "--outside-abstract", json::string(bait.abstract()),
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
  const Bait bait;
  auto connection = context.api.Upgrade("/v1/tenants/" + command.name + "/exec",
                                        ProbeBody(tenant->at(0).as_object(), bait));
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
