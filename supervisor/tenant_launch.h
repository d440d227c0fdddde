// LaunchTenant: from a served FUSE mount to an init that waits at the gate inside finished walls.
// The stages are numbered at the top of tenant_launch.cc. The caller has one thread: the launcher
// is a fork of it.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/allow.h"
#include "supervisor/init_protocol.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_config.h"
#include "supervisor/tenant_filter.h"

namespace bailey::supervisor {

struct LaunchRequest {
  const TenantConfig& config;
  const Allow& allow;  // ParseAllow(config.allow)
  const TenantCgroup& cgroup;
  const TenantFilter& filter;
  // Its connection is aborted if the launch takes too long: the file server is stuck then.
  int fuse_mount;    // FuseMount::mount, INIT answered; in the caller's mount namespace
  int console;       // write end for the start command's stdout and stderr: a TenantPipe's
  int init_program;  // from LoadInitProgram
  int upper = -1;    // the tenant's own layer; may be left out without a resolv.conf
  // The mount of the machine that the tenant sees, detached; -1: it sees the host's.
  int machine = -1;
  // The host's CLOCK_BOOTTIME that is 0 inside; none: when init is made.
  std::chrono::nanoseconds started{0};
};

struct LaunchedTenant {
  pid_t init_pid = -1;  // our child: we reap it
  UniqueFd init_pidfd;  // its namespaces are the tenant's
  UniqueFd netns;       // the tenant's network namespace, for the proxy
  UniqueFd control;     // to init: supervisor/init_protocol.h
  uint32_t uid_base = 0;
  Allow allow;
  cpu_set_t processors{};  // its tasks' by default
  UniqueFd dev_pts;        // the tenant's devpts (O_PATH): EnterTenant's terminals
  UniqueFd init_program;   // also what EnterTenant runs first inside
};

// bailey-init as a sealed memfd that a tenant can execute and neither read nor write
// (CVE-2019-5736). Once per supervisor. `path`: the static program.
Result<UniqueFd> LoadInitProgram(const std::string& path);

// Stages 2 to 5; the gate stays closed. On failure nothing is left: no process, namespace or mount;
// the error's context starts with the stage ("stage 3, clone the tenant: …").
Result<LaunchedTenant> LaunchTenant(const LaunchRequest& request);

// Stage 7: init raises its walls, checks each and becomes bailey-init. Returns the listener of its
// denials. On failure the tenant must be ended (EndInit).
Result<UniqueFd> OpenGate(const LaunchedTenant& tenant);

// SIGKILL to init, and with it to all of its pid namespace; reaps it unless `reaped`. For failures.
void EndInit(const LaunchedTenant& tenant);

// Runs the start command. kStarted or kStartFailed follows on `control`.
Status SendStart(int control, const std::vector<std::string>& argv,
                 const std::vector<std::string>& env);
Status SendStop(int control, int signal);
// The next message of init: kStarted, kStartFailed, kExited or kIdle. EPIPE when init has ended;
// EPROTO for anything else. Non-blocking if `control` is.
Result<InitMessage> ReceiveInitMessage(int control);

}  // namespace bailey::supervisor
