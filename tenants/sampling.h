// What the metrics page is made from: counter pages that are mapped, cgroup files, and what the
// daemon knows. Asks nobody.
#pragma once

#include <sys/types.h>

#include "monitoring/exposition.h"
#include "supervisor/cgroup_host.h"
#include "tenants/fleet.h"

namespace bailey::tenants {

class Sampler {
 public:
  explicit Sampler(supervisor::CgroupHost cgroups);

  // The page at this moment. `api_pid`: the API child, or -1.
  std::string Page(const Fleet& fleet, const Host& host, pid_t api_pid);
  const supervisor::CgroupHost& cgroups() const { return cgroups_; }

 private:
  monitoring::DaemonSample Daemon(pid_t api_pid) const;
  monitoring::TenantSample Sample(const Tenant& tenant, const Host& host) const;

  supervisor::CgroupHost cgroups_;
  double started_at_;
  uint64_t scrapes_ = 0;
  double last_scrape_seconds_ = 0;
};

}  // namespace bailey::tenants
