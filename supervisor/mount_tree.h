// Mounts as descriptors: made detached, changed while nobody can see them, attached in one step.
// No path of the tenant's is ever followed: targets are descriptors opened without symlinks.
// fsopen(2), fsmount(2), open_tree(2), mount_setattr(2), move_mount(2). Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

using MountOptions = std::vector<std::pair<const char*, std::string>>;

// A new file system of `type`, detached. `attributes`: MOUNT_ATTR_….
Result<UniqueFd> NewMount(const char* type, const MountOptions& options, unsigned attributes);
// The second half of it, for an fs context that somebody else has opened (proc in another
// pid namespace). Takes no ownership of `context`.
Result<UniqueFd> FinishMount(int context, const char* type, const MountOptions& options,
                             unsigned attributes);
// A private copy of the mount at `path` (relative to `dir`, which may be AT_FDCWD; "" for `dir`
// itself), without the mounts below it unless `recursive`.
Result<UniqueFd> CloneMount(int dir, const std::string& path, bool recursive = false);
// Adds attributes to a detached or attached mount, and to all below it if `recursive`.
Status AddMountAttributes(int mount, uint64_t attributes, bool recursive = false);
// Translates ids by the user namespace `userns`: possible once, on a detached mount.
Status IdmapMount(int mount, int userns);
// Attaches a detached mount on what `target` refers to.
Status AttachMount(int mount, int target);
// The same on the directory `name` below `root`, opened without following any symlink.
Status AttachAt(int root, const std::string& name, int mount);
// The mount holds all of these attributes now (statvfs's ST_ flags): EPERM if not.
Status CheckMountFlags(int mount, unsigned long st_flags, const std::string& what);

}  // namespace bailey::supervisor
