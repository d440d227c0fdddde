// Requests on control.sock as values, and the replies' text. Only the host's root can connect; what
// a request carries may still come from an operator's command line. Pure.
// docs/DESIGN.md, "baileyd → bailey-supervisor", has the table.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "supervisor/exit_report.h"
#include "supervisor/tenant_config.h"
#include "supervisor/tenant_state.h"

namespace bailey::supervisor {

struct StatusRequest {};
struct CountersRequest {};
struct WaitRequest {
  bool for_running;  // else for the end
};
struct ExecRequest {
  std::vector<std::string> argv, env;
  std::string cwd, user;
  bool tty = false;
  uint16_t rows = 24, cols = 80;
  bool program = false;  // a second descriptor is the program
};
struct StopRequest {
  std::optional<std::chrono::milliseconds> timeout;  // none: the configuration's
};
struct RestartProxyRequest {};
struct SuspendRequest {};
struct ResumeRequest {};
struct SetRequest {
  std::optional<std::string> limits, network;                      // JSON objects
  std::optional<std::optional<std::vector<PublishRule>>> publish;  // as TenantConfig's
  std::optional<std::vector<TlsSite>> tls;
};
using ControlRequest =
    std::variant<StatusRequest, CountersRequest, WaitRequest, ExecRequest, StopRequest,
                 RestartProxyRequest, SuspendRequest, ResumeRequest, SetRequest>;

Result<ControlRequest> ParseControlRequest(std::string_view text);

std::string OkReply();
std::string ErrorReply(const Error& error, std::string_view stage = {});
// The status; with a failure, its `errno`, `error`, `stage` and `hint` beside it. `ok` is false
// when somebody waited for another state.
std::string StatusReply(const TenantStatus& status, bool ok = true);
std::string PidReply(int pid);
std::string LimitsReply(const Limits& limits);

}  // namespace bailey::supervisor
