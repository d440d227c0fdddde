// A pipe between a tenant and us. It belongs to the tenant's root, and may be opened again by
// whoever has it: programs open /dev/stdin and /dev/stderr by path, also after setuid.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

struct TenantPipe {
  UniqueFd read, write;  // close-on-exec, blocking
};

// `owner`: the tenant's root as the host numbers it.
Result<TenantPipe> MakeTenantPipe(uint32_t owner);

}  // namespace bailey::supervisor
