// EnterTenant: runs a program inside every wall of a running tenant, as our child. What runs inside
// first is bailey-init from its sealed memfd, under the name bailey-enter: it resolves the user in
// the tenant's /etc/passwd and the working directory, behind all walls, and executes the program.
//
// Returns as soon as that process exists; nothing here waits for the tenant's file server, nor for
// anything else that the tenant can hold up. The caller has one thread; it becomes a subreaper, and
// CAP_SYS_PTRACE leaves its effective set (supervisor/ptrace_right.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/capabilities.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_filter.h"
#include "supervisor/tenant_launch.h"

namespace bailey::supervisor {

struct TerminalSize {
  uint16_t rows = 24, columns = 80;
};

struct EnterRequest {
  std::vector<std::string> argv;  // argv[0] is looked up in the PATH of `env`
  // "K=V". PATH, HOME, USER, LOGNAME and SHELL are added where they are missing.
  std::vector<std::string> env;
  std::string cwd;   // empty: the user's home, or / where there is none
  std::string user;  // a name, a number, or "user:group"; empty: root
  // Either a terminal of the tenant's own devpts, whose master comes back…
  std::optional<TerminalSize> terminal;
  // …or these three: ends of TenantPipes.
  int input = -1, output = -1, error = -1;
  int program = -1;  // a sealed memfd to execute instead of argv[0]; -1: none
  const TenantFilter* filter = nullptr;
  CapabilityMask capabilities = 0;  // KeptCapabilityMask(allow)
};

struct EnteredProcess {
  pid_t pid = -1;  // our child, as the host numbers it: we reap it
  UniqueFd pidfd;
  UniqueFd seccomp_listener;  // for a DenialListener
  UniqueFd terminal;          // the master, if one was asked for
  UniqueFd report;            // readable once the program runs or could not: ReadEnterReport
};

// Errors: EAGAIN at the tenant's pids limit, ESRCH when it has ended, ETIMEDOUT when it is frozen.
Result<EnteredProcess> EnterTenant(const LaunchedTenant& tenant, const TenantCgroup& cgroup,
                                   const EnterRequest& request);

// What has become of the program, once `report` is readable: executed, or why not. ENOENT, EACCES
// and so on are what the tenant's root answered (exit codes 127 and 126).
Status ReadEnterReport(int report);

}  // namespace bailey::supervisor
