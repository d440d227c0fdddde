#include "supervisor/tenant_sweep.h"

#include <unistd.h>

#include <chrono>

#include "supervisor/fuse_mount.h"
#include "supervisor/host_address.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_store.h"

namespace bailey::supervisor {
namespace {

using std::chrono::milliseconds;
// A task that waits for a stuck file server ignores SIGKILL until the connection is aborted.
constexpr milliseconds kBeforeAbort{2'000}, kAfterAbort{8'000};

void Note(Status& first, const Status& step) {
  if (!step && first) first = step;
}

Status KillAll(Status (TenantCgroup::*kill)() const, const TenantCgroup& group) {
  const Status killed = (group.*kill)();
  return killed || killed.error().Errno() == ENOENT ? Status() : killed;
}

}  // namespace

std::string RootMountPoint(const std::string& runtime_dir) { return runtime_dir + "/root"; }
std::string ControlSocketPath(const std::string& runtime_dir) {
  return runtime_dir + "/control.sock";
}

Status SweepTenant(const CgroupHost& host, const TenantConfig& config,
                   const std::string& runtime_dir) {
  const TenantCgroup group = TenantCgroup::Existing(host, config.cgroup);
  const std::string point = RootMountPoint(runtime_dir);
  Status first;
  Note(first, KillAll(&TenantCgroup::KillTenant, group));
  const bool stuck = !group.AwaitTenantEmpty(kBeforeAbort);
  Note(first, UnmountFuse(point));
  if (stuck) Note(first, group.AwaitTenantEmpty(kAfterAbort));
  Note(first, KillAll(&TenantCgroup::KillServers, group));
  Note(first, group.AwaitServersEmpty(kAfterAbort));
  Note(first, AwaitStoreFree(config.layers, kAwaitImage));
  Note(first, ReleaseAddress(runtime_dir));
  Note(first, group.Remove());
  ::rmdir(point.c_str());
  return first;
}

}  // namespace bailey::supervisor
