// The mounts of a tenant's root, made by the launcher (root of the host, in the mount namespace
// that becomes the tenant's). All are owned by the host's user namespace: the tenant uses them and
// can change none. Ids on them are shifted by `uid_base`: that is how the tenant's own ids look
// from the host.
//
// Each function attaches below `root`, a mount of the tenant's tree, through descriptors opened
// without symlinks, and checks what it made. Order: dev, run and tmp, proc, sys.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "supervisor/machine_files.h"

namespace bailey::supervisor {

struct MountIds {
  uint32_t uid_base;
  uint64_t memory_limit;  // bytes; sizes the tmpfs of /tmp; 0: none
};

// Makes the directories that the mounts need (dev proc run sys tmp) where they are missing, in the
// tree seen without id translation. A symlink or file in such a place is ELOOP or ENOTDIR.
Status MakeMountPoints(int plain_root);

// /dev: null zero full random urandom tty in a tmpfs of ours; pts (own instance), shm, ptmx, fd.
Status MountDev(int root, const MountIds& ids);
// /run and /tmp: tmpfs.
Status MountRunAndTmp(int root, const MountIds& ids);
// /proc of the pid namespace of `init_pidfd`, with what concerns the host masked, read-only, or
// covered by the tenant's own.
Status MountProc(int root, int init_pidfd, const MachineFiles& machine);
// /sys: an empty read-only tmpfs with the few files that programs need. Not sysfs: even read-only,
// it shows the host's devices, firmware, modules and every tenant's cgroups.
Status MountSys(int root, const MachineFiles& machine);

}  // namespace bailey::supervisor
