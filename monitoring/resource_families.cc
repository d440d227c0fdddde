// What a tenant uses, and the limits beside it: CPU, memory and tasks, which its cgroups tell, and
// its disk.
#include "monitoring/families.h"

namespace bailey::monitoring {
namespace {

using enum prometheus::MetricType;
using Row = FamilyRow<TenantSample>;

// The rows of a figure that is a plain member of CgroupSample or LimitsSample.
template <auto member>
void FillCgroup(const TenantSample& tenant, SeriesWriter& series) {
  if (tenant.cgroup) series.Add((*tenant.cgroup).*member);
}
template <auto member>
void FillLimit(const TenantSample& tenant, SeriesWriter& series) {
  if (tenant.limits.*member > 0) series.Add(tenant.limits.*member);
}

// The supervisor's gauges of a limited store; the page of a plain directory has zeros.
template <auto counter>
void FillDisk(const TenantSample& tenant, SeriesWriter& series) {
  if (tenant.supervisor && (*tenant.supervisor)[SupervisorCounter::kDiskBytes] > 0)
    series.Add((*tenant.supervisor)[counter]);
}

void FillCpuModes(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.cgroup) return;
  series.Add("mode", "user", tenant.cgroup->cpu_user_seconds);
  series.Add("mode", "system", tenant.cgroup->cpu_system_seconds);
}

constexpr Row kResourceRows[] = {
    {"bailey_tenant_cpu_seconds_total", Counter,
     "CPU time of a tenant, its file server and its proxy together.",
     FillCgroup<&CgroupSample::cpu_seconds>},
    {"bailey_tenant_cpu_mode_seconds_total", Counter,
     "The same by user and system mode, as the kernel apportions it.", FillCpuModes},
    {"bailey_tenant_cpu_limit_cores", Gauge, "CPUs that a tenant may use; absent without a limit.",
     FillLimit<&LimitsSample::cpu>},
    {"bailey_tenant_cpu_throttled_seconds_total", Counter,
     "Time that a tenant waited because of its CPU limit.",
     FillCgroup<&CgroupSample::cpu_throttled_seconds>},
    {"bailey_tenant_cpu_throttled_periods_total", Counter,
     "Scheduler periods in which a tenant ran into its CPU limit.",
     FillCgroup<&CgroupSample::cpu_throttled_periods>},
    {"bailey_tenant_memory_usage_bytes", Gauge,
     "Memory charged to a tenant's tasks, page cache included.",
     FillCgroup<&CgroupSample::memory_bytes>},
    {"bailey_tenant_memory_file_bytes", Gauge, "The page cache in it, which the kernel can drop.",
     FillCgroup<&CgroupSample::memory_file_bytes>},
    {"bailey_tenant_memory_limit_bytes", Gauge,
     "Memory that a tenant's tasks may use; absent without a limit.",
     FillLimit<&LimitsSample::memory_bytes>},
    {"bailey_tenant_memory_limit_hits_total", Counter,
     "Allocations that ran into the memory limit.", FillCgroup<&CgroupSample::memory_limit_hits>},
    {"bailey_tenant_oom_kills_total", Counter,
     "Processes of a tenant killed because its memory limit was reached.",
     FillCgroup<&CgroupSample::oom_kills>},
    {"bailey_tenant_servers_memory_bytes", Gauge,
     "Memory of a tenant's file server and proxy, outside its limit.",
     FillCgroup<&CgroupSample::servers_memory_bytes>},
    {"bailey_tenant_tasks", Gauge, "Processes and threads of a tenant.",
     FillCgroup<&CgroupSample::tasks>},
    {"bailey_tenant_tasks_limit", Gauge,
     "Processes and threads that a tenant may have; absent without a limit.",
     FillLimit<&LimitsSample::pids>},
    {"bailey_tenant_forks_refused_total", Counter,
     "Forks refused because the limit of tasks was reached.",
     FillCgroup<&CgroupSample::pids_limit_hits>},
    {"bailey_tenant_disk_limit_bytes", Gauge,
     "Disk space that a tenant may use; absent without a limit.",
     FillLimit<&LimitsSample::disk_bytes>},
    {"bailey_tenant_disk_usage_bytes", Gauge,
     "Disk space that is not free for a tenant any more; absent without a limit.",
     FillDisk<SupervisorCounter::kDiskUsedBytes>},
    {"bailey_tenant_disk_inodes", Gauge, "Inodes that a tenant uses; absent without a disk limit.",
     FillDisk<SupervisorCounter::kDiskUsedInodes>},
    {"bailey_tenant_disk_inodes_limit", Gauge,
     "Inodes that a tenant may use; absent without a disk limit.",
     FillDisk<SupervisorCounter::kDiskInodes>},
};

}  // namespace

std::span<const Row> ResourceFamilies() { return kResourceRows; }

}  // namespace bailey::monitoring
