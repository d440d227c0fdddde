// SweepTenant: takes away everything of a tenant that has a name on the host, whoever made it and
// however far it got. The end of every stop, the rollback of every failed start, and what clears
// after a supervisor that was killed. Needs no supervisor, no file server and no memory of what was
// done: all names follow from the configuration, and the one that does not (an address that was
// added) is in a note.
#pragma once

#include <string>

#include "base/result.h"
#include "supervisor/cgroup_host.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// Where the tenant's tree is mounted for the host's root.
std::string RootMountPoint(const std::string& runtime_dir);
std::string ControlSocketPath(const std::string& runtime_dir);

// Kills all tasks, ends the FUSE connection, unmounts, releases the address, removes the cgroups.
// Idempotent; goes on after a failure and returns the first one. Blocks for some milliseconds, and
// for at most 20 s if the kernel cannot end a task.
Status SweepTenant(const CgroupHost& host, const TenantConfig& config,
                   const std::string& runtime_dir);

}  // namespace bailey::supervisor
