// The descriptors that bailey-fs gets for the template's layers: private clones of the mounts that
// hold them, detached from everything, so that the server sees its layers and nothing above or
// beside.
#pragma once

#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// The lowers, the topmost first: read-only, nosuid, nodev, binds included. The tenant's own layer
// is TenantStore's. Paths are the host's own and trusted. Errors name the layer; a missing one
// hints at its template.
Result<std::vector<UniqueFd>> OpenLowers(const Layers& layers);

}  // namespace bailey::supervisor
