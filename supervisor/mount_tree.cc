#include "supervisor/mount_tree.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>

#include "base/files.h"
#include "base/syscalls.h"

namespace bailey::supervisor {
Result<UniqueFd> NewMount(const char* type, const MountOptions& options, unsigned attributes) {
  const UniqueFd context(::fsopen(type, FSOPEN_CLOEXEC));
  if (!context) return Errno(std::string("fsopen ") + type);
  return FinishMount(context.get(), type, options, attributes);
}

Result<UniqueFd> FinishMount(int context, const char* type, const MountOptions& options,
                             unsigned attributes) {
  for (const auto& [key, value] : options)
    if (::fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0)
      return Errno(std::string("fsconfig ") + type + " " + key + "=" + value);
  if (::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return Errno(std::string("create a file system of type ") + type);
  UniqueFd mount(::fsmount(context, FSMOUNT_CLOEXEC, attributes));
  if (!mount) return Errno(std::string("fsmount ") + type);
  return mount;
}

Result<UniqueFd> CloneMount(int dir, const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (recursive) flags |= AT_RECURSIVE;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  UniqueFd mount(::open_tree(dir, path.c_str(), flags));
  if (!mount) return Errno("open_tree " + (path.empty() ? std::string("of a descriptor") : path));
  return mount;
}

Status AddMountAttributes(int mount, uint64_t attributes, bool recursive) {
  mount_attr change{};
  change.attr_set = attributes;
  const unsigned flags = AT_EMPTY_PATH | (recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
  if (::mount_setattr(mount, "", flags, &change, sizeof change) != 0) return Errno("mount_setattr");
  return {};
}

Status IdmapMount(int mount, int userns) {
  mount_attr change{};
  change.attr_set = MOUNT_ATTR_IDMAP;
  change.userns_fd = static_cast<uint64_t>(userns);
  if (::mount_setattr(mount, "", AT_EMPTY_PATH, &change, sizeof change) != 0)
    return Errno("idmap a mount");
  return {};
}

Status AttachMount(int mount, int target) {
  if (::move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return Errno("move_mount");
  return {};
}

Status AttachAt(int root, const std::string& name, int mount) {
  const auto target = OpenBeneathNoSymlinks(root, name, O_PATH | O_DIRECTORY);
  if (!target) return target.error();
  Status attached = AttachMount(mount, target->get());
  return attached ? attached : Status(attached.error().Within("attach /" + name));
}

Status CheckMountFlags(int mount, unsigned long st_flags, const std::string& what) {
  struct statvfs held {};
  if (::fstatvfs(mount, &held) != 0) return Errno("fstatvfs " + what);
  if ((held.f_flag & st_flags) != st_flags) return Errno("check the mount flags of " + what, EPERM);
  return {};
}

}  // namespace bailey::supervisor
