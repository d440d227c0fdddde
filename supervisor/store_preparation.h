// Preparing a tenant's store before its supervisor opens it: whatever may take longer than a start
// should. `bailey-supervisor --prepare` does it in a process of its own, which may be killed at any
// moment: every way goes by one rename or by what the next preparation recognises.
//
//   limit, no image       an image is made beside, gets what the plain directory holds, and is
//                         renamed into place; from then on the directory means nothing
//   image, not clean      e2fsck -p; what it cannot mend is refused
//   image, not of size    grown; one that is larger already is refused: ext4 cannot shrink in use,
//                         and a tenant must not run with more than its limit
#pragma once

#include <cstdint>

#include "base/result.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// `limit` in bytes, whole blocks of 4 KiB; 0: none. Nothing of the tenant's may be running.
Status PrepareStore(const Layers& layers, uint64_t limit);

}  // namespace bailey::supervisor
