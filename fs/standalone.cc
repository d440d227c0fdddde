#include "fs/standalone.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/files.h"

namespace bailey::fs {
namespace {

Result<UniqueFd> OpenLower(const std::string& path) {
  UniqueFd tree(::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return Errno("lower " + path);
  struct mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    return Errno("make the clone of lower " + path + " read-only");
  struct stat st {};
  if (::fstat(tree.get(), &st) != 0) return Errno("lower " + path);
  if (!S_ISDIR(st.st_mode)) return Errno("lower " + path, ENOTDIR);
  return tree;
}

std::string WithoutTrailingSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

Result<OpenedLayers> OpenLayers(const Options& options) {
  OpenedLayers layers;
  for (const std::string& path : options.lowers) {
    auto lower = OpenLower(path);
    if (!lower) return lower.error();
    layers.lowers.push_back(std::move(*lower));
  }
  if (options.upper.empty()) return layers;
  auto upper = OpenPath(options.upper, O_RDONLY | O_DIRECTORY);
  if (!upper) return upper.error().Within("upper");
  const std::string work =
      options.work.empty() ? WithoutTrailingSlash(options.upper) + ".work" : options.work;
  if (::mkdir(work.c_str(), 0700) != 0 && errno != EEXIST) return Errno("mkdir " + work);
  auto opened = OpenPath(work, O_RDONLY | O_DIRECTORY);
  if (!opened) return opened.error().Within("work");
  struct stat of_upper {
  }, of_work{};
  if (::fstat(upper->get(), &of_upper) != 0 || ::fstat(opened->get(), &of_work) != 0)
    return Errno("stat " + work);
  if (of_upper.st_dev != of_work.st_dev)
    return Errno("work directory " + work, EXDEV)
        .WithHint("put it on the file system of the upper");
  layers.upper = std::move(*upper);
  layers.work = std::move(*opened);
  return layers;
}

Result<FuseMount> FuseMount::Make(const Options& options) {
  auto device = OpenPath("/dev/fuse", O_RDWR);
  if (!device) return device.error().WithHint("modprobe fuse");
  const std::string data = "fd=" + std::to_string(device->get()) +
                           ",rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions";
  unsigned long flags = options.mount_flags | MS_NODEV;
  if (options.upper.empty()) flags |= MS_RDONLY;
  if (::mount(options.source.c_str(), options.mount_point.c_str(), "fuse.bailey-fs", flags,
              data.c_str()) != 0)
    return Errno("mount " + options.mount_point);
  FuseMount made(options.mount_point);
  made.device_ = std::move(*device);
  return made;
}

FuseMount::~FuseMount() {
  if (!point_.empty()) (void)::umount2(point_.c_str(), MNT_DETACH);
}

Status Remount(const Options& options) {
  const unsigned long flags = options.mount_flags | MS_NODEV | MS_REMOUNT;
  if (::mount(nullptr, options.mount_point.c_str(), nullptr, flags, nullptr) != 0)
    return Errno("remount " + options.mount_point);
  return {};
}

}  // namespace bailey::fs
