// System calls that the filter hands over and that are granted all the same, some by [allow]: the
// supervisor makes them in the tenant's place, with arguments that it has copied and checked, and
// only for a caller that would be allowed them on a host of its own.
#pragma once

#include <linux/seccomp.h>

#include <cstdint>

#include "supervisor/allow.h"
#include "supervisor/syscall_table.h"
#include "supervisor/tenant_sysinfo.h"

namespace bailey::supervisor {

struct GrantContext {
  int listener;
  const Allow& allow;
  uint32_t uid_base;
  int init_pidfd;
  TenantSysinfo* sysinfo;  // null: sysinfo is denied
};

enum class Grant {
  kDenied,    // not granted: the row's errno is the answer
  kRespond,   // done or failed: *response has the answer
  kAnswered,  // done, and the caller has been answered
};

// sethostname, where allow.set_hostname, for the tenant's root: a name of at most 64 letters,
// digits, dots and hyphens (else EINVAL), set in the tenant's uts namespace.
// sysinfo, for everybody: answered with the tenant's own.
// socket(AF_INET[6], SOCK_RAW), where allow.raw_sockets, for a holder of CAP_NET_RAW: a socket of
// the tenant's network namespace.
Grant CarryOut(const GrantContext& context, const DeniedCall& row, const seccomp_notif& call,
               seccomp_notif_resp* response);

}  // namespace bailey::supervisor
