#include "base/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/files.h"
#include "base/log.h"
#include "base/syscalls.h"

namespace bailey {

Result<NetnsScope> NetnsScope::Enter(int target) {
  auto home = OpenPath("/proc/thread-self/ns/net", O_RDONLY);
  if (!home) return home.error();
  if (::setns(target, CLONE_NEWNET) != 0) return Errno("setns to the network namespace");
  return NetnsScope(std::move(*home));
}

NetnsScope::~NetnsScope() {
  if (home_) BAILEY_CHECK(::setns(home_.get(), CLONE_NEWNET) == 0);
}

Status EnterEmptyRoot() {
  if (::unshare(CLONE_NEWNS) != 0) return Errno("unshare the mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return Errno("make mounts private");
  const UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context) return Errno("fsopen tmpfs");
  if (::fsconfig(context.get(), FSCONFIG_SET_STRING, "size", "4k", 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_SET_STRING, "mode", "0555", 0) != 0 ||
      ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return Errno("configure tmpfs");
  const UniqueFd root(
      ::fsmount(context.get(), FSMOUNT_CLOEXEC,
                MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  if (!root) return Errno("fsmount tmpfs");
  // A detached mount cannot be pivoted to: hang it somewhere that exists everywhere first.
  if (::move_mount(root.get(), "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return Errno("attach the empty root");
  if (::fchdir(root.get()) != 0 || sys::PivotRoot(".", ".") != 0) return Errno("pivot_root");
  if (::umount2(".", MNT_DETACH) != 0) return Errno("unmount the old root");
  if (::chdir("/") != 0) return Errno("chdir /");
  return {};
}

}  // namespace bailey
