// FuseMount: the mount that bailey-fs serves, made by the supervisor so that the server needs no
// right to mount. The mount at DIR/root is the host root's own view of the tenant's tree.
// Nothing here ever waits for the server. Documentation/filesystems/fuse.rst. Thread-safe.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

struct FuseMount {
  UniqueFd device;  // /dev/fuse of this connection: goes to bailey-fs
  UniqueFd mount;   // on the mount's root
  // Its number below /sys/fs/fuse/connections: the minor of its device.
  unsigned connection = 0;
};

// A new connection, mounted nowhere. `source` names it in mountinfo; `attributes`: MOUNT_ATTR_….
Result<FuseMount> MakeFuse(const std::string& source, unsigned attributes);
// Mounts a new connection at `point`, an existing directory (nodev, default_permissions).
Result<FuseMount> MountFuse(const std::string& point, const std::string& source);

// Ends a connection: all requests, pending and to come, fail. One that is gone already is no
// error. Needs no mount of fusectl: it makes one of its own, detached.
Status AbortFuse(unsigned connection);
// The same for the connection behind a mount.
Status AbortFuseOf(int mount);

// Unmounts (lazily) whatever is mounted on `point`, and aborts those that are FUSE. Nothing
// mounted, or no such directory: success. A plain process may have its directory in there still.
Status UnmountFuse(const std::string& point);

}  // namespace bailey::supervisor
