// TenantCgroup: NAME/{tenant,servers} on every hierarchy of the host. `tenant` is what is frozen
// and killed, and what memory and pids limits hold; `servers` has bailey-fs, bailey-netproxy and
// the launcher; cpu limits both together, since the servers work for the tenant alone. A tenant
// with a memory limit has one for its servers, too.
//
// Creating it twice is the same as once. Nothing is removed by a destructor: a group outlives the
// process that made it, and whoever stops the tenant calls Remove(). Not thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/cgroup_host.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

class TenantCgroup {
 public:
  // `name` as TenantConfig::cgroup. On failure what was made stays; Remove() takes it away.
  static Result<TenantCgroup> Create(const CgroupHost& host, const std::string& name);
  // An existing one, or one that is gone: for clearing. Opens nothing.
  static TenantCgroup Existing(const CgroupHost& host, const std::string& name);

  // What bailey-fs and bailey-netproxy together may take above the tenant's memory limit, if it has
  // one: far more than they need, but a tenant that makes them grow ends itself, not the host.
  static constexpr uint64_t kServersMemory = 1ULL << 30;  // bytes

  // Sets cpu, memory and pids and reads each back; EIO if the kernel holds something else.
  // Memory below what is used now makes the kernel reclaim, then refuse with EBUSY (v1).
  Status SetLimits(const Limits& limits) const;
  // What the kernel holds, for a report of drift. 0: no limit. Memory is rounded to pages.
  Result<Limits> ReadLimits() const;

  // v2 directories for CLONE_INTO_CGROUP and BPF; valid after Create.
  int tenant_fd() const { return tenant_.get(); }
  int servers_fd() const { return servers_.get(); }
  // v1 `tasks` files that a member writes 0 to before it forks; empty on pure v2.
  std::vector<std::string> TenantTasks() const { return Tasks("/tenant"); }
  std::vector<std::string> ServersTasks() const { return Tasks("/servers"); }

  // Takes effect task by task: HasFrozen() once all of them stand still. A task in a call that
  // cannot be interrupted ends it first.
  Status Freeze(bool frozen) const;
  bool HasFrozen() const { return TenantEvent("frozen 1"); }
  // SIGKILL to all members at once, frozen ones too; ENOENT if the group is gone. The group is of
  // no further use: Linux 6.12 to 6.18 at least kill whatever is cloned into a group that was
  // killed once (the child is compared with the kill counter of its parent's group). Remove() it.
  Status KillTenant() const { return Kill("/tenant"); }
  Status KillServers() const { return Kill("/servers"); }
  // Processes of the tenant, as the host numbers them.
  std::vector<pid_t> TenantPids() const { return Members("cgroup.procs"); }
  // The same for all tasks, threads too.
  std::vector<pid_t> TenantTaskIds() const { return Members("cgroup.threads"); }
  // Waits until no task is left in `tenant`, or in both groups; ETIMEDOUT.
  Status AwaitTenantEmpty(std::chrono::milliseconds at_most) const;
  Status AwaitServersEmpty(std::chrono::milliseconds at_most) const;

  // Removes every group of this tenant on every hierarchy, and the instance's directory above it
  // if that is empty now. A group that is gone is no error; EBUSY while tasks are left.
  Status Remove() const;

 private:
  TenantCgroup(const CgroupHost& host, std::string name) : host_(host), name_(std::move(name)) {}
  static Result<TenantCgroup> TryCreate(const CgroupHost& host, const std::string& name);
  Status EnableControllers() const;
  std::vector<std::string> Tasks(const std::string& group) const;
  Status Kill(const std::string& group) const;
  bool TenantEvent(const char* event) const;
  std::vector<pid_t> Members(const char* file) const;
  Status AwaitEmpty(const std::string& group, std::chrono::milliseconds at_most) const;
  Status SetCpu(double cores) const;
  Status SetMemory(const Limits& limits) const;
  Status SetServersMemory(uint64_t tenants_bytes) const;
  std::vector<std::string> Directories() const;  // parents first, without the instance's

  CgroupHost host_;
  std::string name_;
  UniqueFd tenant_, servers_;
};

}  // namespace bailey::supervisor
