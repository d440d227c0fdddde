// The mount namespace is the host's: whatever capabilities the tenant holds, no mount is its own.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "tenants/probe/report.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "mount";
constexpr unsigned kProcFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

int MountTmpfs() {
  const int result = ResultOf(::mount("probe", "/tmp", "tmpfs", 0, "size=4k"));
  if (result == kThrough) ::umount2("/tmp", MNT_DETACH);
  return result;
}

int BindRoot() {
  const int result = ResultOf(::mount("/", "/tmp", nullptr, MS_BIND, nullptr));
  if (result == kThrough) ::umount2("/tmp", MNT_DETACH);
  return result;
}

int OpenTree() {
  return ResultOf(::syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

int SetMountAttributes() {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID;  // of /proc, which has it
  return ResultOf(
      ::syscall(SYS_mount_setattr, AT_FDCWD, "/proc", 0, &attributes, sizeof attributes));
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// The oldest way out: a second chroot leaves the current directory outside of it, and ".." goes on
// until the true root.
int LeaveByChroot() {
  struct stat root {
  }, reached{};
  if (::stat("/", &root) != 0) return errno;
  const std::string cell = "/tmp/.bailey-probe-" + std::to_string(::getpid());
  if (::mkdir(cell.c_str(), 0700) != 0 || ::chdir("/") != 0) return errno;
  const int chrooted = ResultOf(::chroot(cell.c_str()));
  if (chrooted == kThrough)
    for (int i = 0; i < 64; ++i) [[maybe_unused]] const int up = ::chdir("..");
  const int looked = ResultOf(::stat(".", &reached));
  // We are outside of the cell now, so its old path leads nowhere; relative to here it is found.
  ::rmdir(cell.c_str() + 1);
  if (chrooted != kThrough) return chrooted;
  if (looked != kThrough) return looked;
  return SameFile(root, reached) ? EXDEV : kThrough;
}

}  // namespace

void TryMounts(Report& report, const Options& options) {
  report.Denied(kWall, "leave by a second chroot", {EXDEV, EPERM}, LeaveByChroot);
  if (options.allow_mount) return;
  report.Denied(kWall, "mount a tmpfs", {EPERM}, MountTmpfs);
  report.Denied(kWall, "bind / elsewhere", {EPERM}, BindRoot);
  report.Denied(kWall, "remount /proc", {EPERM}, [] {
    return ResultOf(::mount(nullptr, "/proc", nullptr, MS_REMOUNT | MS_BIND | kProcFlags, nullptr));
  });
  report.Denied(kWall, "make / shared", {EPERM},
                [] { return ResultOf(::mount(nullptr, "/", nullptr, MS_PRIVATE, nullptr)); });
  // Only asks whether it could be: EAGAIN or EBUSY would mean yes.
  report.Denied(kWall, "unmount /proc", {EPERM},
                [] { return ResultOf(::umount2("/proc", MNT_EXPIRE)); });
  // Onto itself, which no kernel carries out.
  report.Denied(kWall, "pivot_root", {EPERM},
                [] { return ResultOf(::syscall(SYS_pivot_root, "/", "/")); });
  report.Denied(kWall, "clone the tree of mounts", {EPERM}, OpenTree);
  report.Denied(kWall, "open a file system", {EPERM},
                [] { return ResultOf(::syscall(SYS_fsopen, "tmpfs", 0)); });
  report.Denied(kWall, "pick a mounted file system", {EPERM},
                [] { return ResultOf(::syscall(SYS_fspick, AT_FDCWD, "/", 0)); });
  report.Denied(kWall, "change a mount's attributes", {EPERM}, SetMountAttributes);
}

}  // namespace bailey::probe
