#include "tenants/templates/confinement.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <climits>
#include <cstdlib>
#include <memory>

#include "base/syscalls.h"
#include "base/unique_fd.h"

namespace bailey::tenants {
namespace {

// A detached copy of the mount at `dir`/`path`, without setuid and devices; read-only on demand.
Result<UniqueFd> CloneMount(int dir, const char* path, bool read_only) {
  UniqueFd tree(::open_tree(dir, path,
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                                static_cast<unsigned>(*path == '\0' ? AT_EMPTY_PATH : 0)));
  if (!tree) return Errno(std::string("open_tree ") + path);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                        static_cast<uint64_t>(read_only ? MOUNT_ATTR_RDONLY : MOUNT_ATTR_NOEXEC);
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    return Errno("mount_setattr");
  return tree;
}

Status Attach(int tree, const char* at) {
  if (::mkdir(at, 0755) != 0 && errno != EEXIST) return Errno(std::string("mkdir ") + at);
  if (::move_mount(tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return Errno(std::string("move_mount ") + at);
  return {};
}

// /bin, /lib and so on as the host has them: links into /usr, or directories of their own.
Status AddHostDirectory(const char* name) {
  const std::string path = std::string("/") + name;
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (S_ISLNK(info.st_mode)) {
    const std::unique_ptr<char, void (*)(void*)> target(::realpath(path.c_str(), nullptr), ::free);
    if (!target) return {};
    if (::symlink(target.get(), name) != 0) return Errno("symlink " + path);
    return {};
  }
  auto tree = CloneMount(AT_FDCWD, path.c_str(), true);
  if (!tree) return tree.error();
  return Attach(tree->get(), name);
}

}  // namespace

Status EnterUnpackingRoot(int target, const std::string& target_path) {
  auto tree = CloneMount(target, "", false);
  if (!tree) return tree.error();
  if (::mount("bailey-unpack", target_path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") != 0)
    return Errno("mount tmpfs");
  if (::chdir(target_path.c_str()) != 0) return Errno("chdir");
  for (const char* name : {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"})
    BAILEY_TRY(AddHostDirectory(name));
  BAILEY_TRY(Attach(tree->get(), "root"));
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(AT_FDCWD, ".", 0, &read_only, sizeof read_only) != 0)
    return Errno("mount_setattr");
  // Both are "here": the old root ends up below the new one and is taken away (pivot_root(2)).
  if (sys::PivotRoot(".", ".") != 0) return Errno("pivot_root");
  if (::umount2(".", MNT_DETACH) != 0) return Errno("umount the old root");
  if (::chdir("/") != 0) return Errno("chdir /");
  return {};
}

}  // namespace bailey::tenants
