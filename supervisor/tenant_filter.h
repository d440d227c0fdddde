// TenantFilter: the tenant's seccomp filter, compiled from supervisor/syscall_table.h. Two programs
// that stand on each other: the first knows which calls exist for a tenant (all others: ENOSYS, so
// that programs fall back), the second which of those are denied (SECCOMP_RET_USER_NOTIF: the
// supervisor counts and answers). Allowed calls never leave the kernel, and those that depend on no
// argument are answered from its bitmap without running either. seccomp(2), seccomp_unotify(2).
#pragma once

#include <linux/seccomp.h>

#include <map>
#include <vector>

#include "base/result.h"
#include "base/seccomp_filter.h"
#include "supervisor/allow.h"
#include "supervisor/syscall_table.h"

namespace bailey::supervisor {

class TenantFilter {
 public:
  // Some milliseconds: once per supervisor.
  static Result<TenantFilter> Compile(const Allow& allow);

  // Loads both into the calling thread for good and returns the listener of the second, which goes
  // to a DenialListener; -1 and errno. Needs CAP_SYS_ADMIN in the own user namespace, since it sets
  // no no_new_privs (setuid programs must work inside). Async-signal-safe.
  int Load() const;

  // The row that has denied a call which the listener reports; nullptr if none did.
  const DeniedCall* Reason(const seccomp_data& call) const;

  const SeccompProgram& known() const { return known_; }
  const SeccompProgram& denied() const { return denied_; }

 private:
  TenantFilter() = default;
  SeccompProgram known_, denied_;
  std::map<int, std::vector<DeniedCall>> rows_;  // by number
};

inline Result<TenantFilter> CompileTenantFilter(const Allow& allow) {
  return TenantFilter::Compile(allow);
}

}  // namespace bailey::supervisor
