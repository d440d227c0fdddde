// The files that bailey-fs computes the tenant's view of the machine from (fs/machine_sources.h),
// opened for it: it sees no path. Of the host's /proc only what shows no other tenant.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/cgroup_host.h"

namespace bailey::supervisor {

struct MachineSource {
  const char* name;  // as on bailey-fs's command line
  UniqueFd fd;
};

// `cgroup` as TenantConfig::cgroup; its groups exist. What this kernel does not count is left out.
Result<std::vector<MachineSource>> OpenMachineSources(const CgroupHost& host,
                                                      const std::string& cgroup);

}  // namespace bailey::supervisor
