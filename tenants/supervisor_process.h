// Running `bailey-supervisor`: once to start a tenant, with --clear to take away what a dead one
// has left, or with --prepare to bring a limited tenant's disk into order. The program that we
// start ends by itself: the supervisor is a daemon, and not our child.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "supervisor/tenant_config.h"
#include "tenants/child_watch.h"
#include "tenants/core_protocol.h"

namespace bailey::tenants {

enum class SupervisorTask { kServe, kClear, kPrepare };

// Calls `done` from the loop: for kServe once the supervisor listens on its control.sock, for
// kClear once everything is gone, for kPrepare once the store can be opened (copying and checking
// take as long as they take); or with what it wrote about why not. Destroying the result forgets
// `done`, not the supervisor.
Result<std::unique_ptr<ChildWatch>> RunSupervisor(EventLoop& loop, SupervisorTask task,
                                                  const supervisor::TenantConfig& config,
                                                  const std::string& runtime_dir,
                                                  std::function<void(ApiStatus)> done);

}  // namespace bailey::tenants
