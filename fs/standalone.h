// What the supervisor does for a tenant's server, done by the server for itself when it runs alone:
// opening the layers, and the mount.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/layer_set.h"
#include "fs/options.h"

namespace bailey::fs {

struct OpenedLayers {
  std::vector<UniqueFd> lowers;
  UniqueFd upper, work;
};

// The lowers as read-only clones of their mounts: even a passthrough open could not write there.
// As overlayfs does it, mounts below a lower are not shown. Makes the work directory.
Result<OpenedLayers> OpenLayers(const Options& options);

// Opens /dev/fuse and mounts it; the descriptor.
Result<UniqueFd> MountFuse(const Options& options);

}  // namespace bailey::fs
