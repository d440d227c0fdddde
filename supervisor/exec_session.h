// ExecSession: one program that a caller runs inside the tenant, from its start to the line that
// tells its exit. The caller holds the other end of the session socket; what it sends there (lines
// that ask for a signal) is bounded, and a caller that goes away takes the program's terminal or
// pipes with it. docs/DESIGN.md, "Exec sessions". Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/control_request.h"
#include "supervisor/exit_report.h"
#include "supervisor/tenant_enter.h"

namespace bailey::supervisor {

class ExecSession {
 public:
  struct Setup {
    EventLoop& loop;
    const LaunchedTenant& tenant;
    const TenantCgroup& cgroup;
    const TenantFilter& filter;
    CapabilityMask capabilities;
    uint32_t uid_base;
    std::function<uint64_t()> oom_kills;  // since the last call
    // The program has ended, and the caller has been told. Called from the loop; the session may be
    // destroyed from it.
    std::function<void(ExecSession&, const ExitReport&)> ended;
  };

  // `socket`: the caller's session socket; `program`: a sealed memfd to execute, or empty.
  static Result<std::unique_ptr<ExecSession>> Start(Setup setup, const ExecRequest& request,
                                                    UniqueFd socket, UniqueFd program);
  ~ExecSession();
  ExecSession(const ExecSession&) = delete;
  ExecSession& operator=(const ExecSession&) = delete;

  pid_t pid() const { return process_.pid; }
  // The program has been killed with its tenant: waits for its end, reaps it and tells the caller;
  // `ended` is not called. False if it does not end in time.
  bool AwaitEnd(std::chrono::milliseconds at_most);
  UniqueFd TakeSeccompListener() { return std::move(process_.seccomp_listener); }

 private:
  ExecSession(Setup setup, UniqueFd socket)
      : setup_(std::move(setup)), socket_(std::move(socket)) {}
  Status Enter(EnterRequest& enter, bool tty);
  Status Greet(bool tty, const std::vector<int>& host_ends);
  Status Watch();
  void OnReport();
  void OnSocket();
  void OnLine(std::string_view line);
  void Signal(int signal);
  void OnExit();
  ExitReport Reap();
  void HangUp();
  void Tell(const std::string& line);

  Setup setup_;
  UniqueFd socket_;
  EnteredProcess process_;
  std::string unread_;  // the beginning of a line of the caller's
  std::optional<Error> not_executed_;
};

}  // namespace bailey::supervisor
