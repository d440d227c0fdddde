// Where an archive is unpacked: a root of its own in which only the target can be written.
#pragma once

#include <string>

#include "base/result.h"

namespace bailey::tenants {

// Moves the calling process, which must be alone in a mount namespace of its own, into an empty
// read-only root that has the host's /usr (read-only, with bin, lib … as the host has them) and, as
// /root, the directory `target`. Nothing else of the host can be named any more; descriptors that
// are open keep working. `target_path` is any path of an existing directory to mount on. On an
// error the process must not go on.
Status EnterUnpackingRoot(int target, const std::string& target_path);

}  // namespace bailey::tenants
