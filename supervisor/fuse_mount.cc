#include "supervisor/fuse_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/files.h"
#include "supervisor/mount_tree.h"

namespace bailey::supervisor {
namespace {

// Where `dir`/`path` leads, from what the kernel remembers: DONT_SYNC keeps FUSE from asking.
Result<struct statx> Look(int dir, const std::string& path) {
  struct statx seen {};
  const int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW |
                    (path.empty() ? AT_EMPTY_PATH : 0);
  if (::statx(dir, path.c_str(), flags, 0, &seen) != 0) return Errno("statx " + path);
  return seen;
}

Status Configure(int context, int device, const std::string& source) {
  const auto set = [&](const char* key, const std::string& value) -> Status {
    if (::fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0)
      return Errno(std::string("fsconfig fuse ") + key);
    return {};
  };
  BAILEY_TRY(set("source", source));
  BAILEY_TRY(set("subtype", "bailey"));
  BAILEY_TRY(set("fd", std::to_string(device)));
  BAILEY_TRY(set("rootmode", "40000"));
  BAILEY_TRY(set("user_id", "0"));
  BAILEY_TRY(set("group_id", "0"));
  for (const char* flag : {"allow_other", "default_permissions"})
    if (::fsconfig(context, FSCONFIG_SET_FLAG, flag, nullptr, 0) != 0)
      return Errno(std::string("fsconfig fuse ") + flag);
  return {};
}

}  // namespace

Result<FuseMount> MakeFuse(const std::string& source, unsigned attributes) {
  FuseMount fuse;
  auto device = OpenPath("/dev/fuse", O_RDWR);
  if (!device) return device.error().WithHint("modprobe fuse");
  fuse.device = std::move(*device);
  const UniqueFd context(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context) return Errno("fsopen fuse").WithHint("modprobe fuse");
  BAILEY_TRY(Configure(context.get(), fuse.device.get(), source));
  auto mount = FinishMount(context.get(), "fuse", {}, attributes);
  if (!mount) return mount.error();
  fuse.mount = std::move(*mount);
  const auto seen = Look(fuse.mount.get(), "");
  if (!seen) return seen.error();
  fuse.connection = seen->stx_dev_minor;
  return fuse;
}

Result<FuseMount> MountFuse(const std::string& point, const std::string& source) {
  auto fuse = MakeFuse(source, MOUNT_ATTR_NODEV);
  if (!fuse) return fuse;
  const auto target = OpenPath(point, O_PATH | O_DIRECTORY);
  if (!target) return target.error();
  if (Status attached = AttachMount(fuse->mount.get(), target->get()); !attached)
    return attached.error().Within("attach the file system at " + point);
  return fuse;
}

Status AbortFuse(unsigned connection) {
  const auto control = NewMount("fusectl", {}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (!control) return control.error();
  Status aborted = WriteControlAt(control->get(), std::to_string(connection) + "/abort", "1");
  if (!aborted && aborted.error().Errno() == ENOENT) return {};
  return aborted;
}

Status AbortFuseOf(int mount) {
  const auto seen = Look(mount, "");
  if (!seen) return seen.error();
  return AbortFuse(seen->stx_dev_minor);
}

Status UnmountFuse(const std::string& point) {
  for (;;) {
    const auto seen = Look(AT_FDCWD, point);
    if (!seen) return seen.error().Errno() == ENOENT ? Status() : seen.error();
    if ((seen->stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return {};
    // No file system of another type has an anonymous device of the same minor.
    if (seen->stx_dev_major == 0) BAILEY_TRY(AbortFuse(seen->stx_dev_minor));
    if (::umount2(point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL)
      return Errno("umount " + point);
  }
}

}  // namespace bailey::supervisor
