// The descriptors that bailey-fs gets for its layers: private clones of the mounts that hold them,
// detached from everything, so that the server sees its layers and nothing above or beside.
#pragma once

#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

struct LayerFds {
  std::vector<UniqueFd> lowers;  // the topmost first; read-only, nosuid, nodev, binds included
  UniqueFd upper, work;          // of one mount (rename between them must work); nosuid, nodev
};

// Paths are the host's own and trusted. `upper` and `work` must be siblings of one directory.
// Errors name the layer; a missing one hints at its template.
Result<LayerFds> OpenLayers(const Layers& layers);

}  // namespace bailey::supervisor
