// Where a tenant sees the files of its machine, which bailey-fs serves on a mount of their own
// (fs/machine_server.h): each is bound over the host's file of that name. For the launcher, in the
// mount namespace that becomes the tenant's.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

struct MachineFile {
  const char* name;  // in the served directory
  const char* place;
  UniqueFd mount;  // of that one file, detached
};

class MachineFiles {
 public:
  // None: the host's files stay to be seen.
  MachineFiles() = default;
  // `machine`: the mount that bailey-fs serves, detached. It is attached at `place`, an empty
  // directory of this mount namespace, for as long as it takes to copy its files' mounts.
  static Result<MachineFiles> Take(int machine, int place);

  // Covers what lies below `proc`, the mount of /proc, or `sys`, that of /sys; checks what a look
  // from above finds. A file that this kernel does not have is left out.
  Status CoverProc(int proc) const { return Cover(proc, proc_); }
  Status CoverSys(int sys) const { return Cover(sys, sys_); }

 private:
  static Status Cover(int root, const std::vector<MachineFile>& files);
  std::vector<MachineFile> proc_, sys_;
};

}  // namespace bailey::supervisor
