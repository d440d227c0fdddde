// /dev, /run, /tmp and the places where they go: see supervisor/tenant_mounts.h.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/files.h"
#include "supervisor/mount_tree.h"
#include "supervisor/tenant_mounts.h"

namespace bailey::supervisor {
namespace {

constexpr uint32_t kTtyGroup = 5;  // Debian's and everybody's group tty
constexpr uint64_t kTmpLimit = uint64_t{1} << 30;

struct DeviceNode {
  const char* name;
  unsigned major, minor;
};
// What jail(8)'s devfs ruleset 4 shows, less the disks and terminals of the host.
constexpr std::array<DeviceNode, 6> kNodes = {{
    {"null", 1, 3},
    {"zero", 1, 5},
    {"full", 1, 7},
    {"random", 1, 8},
    {"urandom", 1, 9},
    {"tty", 5, 0},
}};
constexpr std::array<std::pair<const char*, const char*>, 5> kLinks = {{
    {"ptmx", "pts/ptmx"},
    {"fd", "/proc/self/fd"},
    {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
}};

// fchownat to the tenant's root, and group `gid` of the tenant.
Status Give(int dir, const char* name, const MountIds& ids, uint32_t gid = 0) {
  const int flags = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (::fchownat(dir, name, ids.uid_base, ids.uid_base + gid, flags) != 0)
    return Errno(std::string("chown /dev/") + name);
  return {};
}

Result<UniqueFd> TenantTmpfs(const MountIds& ids, uint64_t bytes, const char* mode,
                             unsigned attributes) {
  const std::string id = std::to_string(ids.uid_base);
  return NewMount("tmpfs",
                  {{"size", std::to_string(bytes)},
                   {"nr_inodes", std::to_string(std::clamp<uint64_t>(bytes / 4096, 64, 65536))},
                   {"mode", mode},
                   {"uid", id},
                   {"gid", id}},
                  attributes | MOUNT_ATTR_NOSUID);
}

Status FillDev(int dev, const MountIds& ids) {
  for (const DeviceNode& node : kNodes) {
    if (::mknodat(dev, node.name, S_IFCHR | 0666, makedev(node.major, node.minor)) != 0)
      return Errno(std::string("mknod /dev/") + node.name);
    BAILEY_TRY(Give(dev, node.name, ids, node.major == 5 ? kTtyGroup : 0));
  }
  for (const auto& [name, target] : kLinks) {
    if (::symlinkat(target, dev, name) != 0) return Errno(std::string("symlink /dev/") + name);
    BAILEY_TRY(Give(dev, name, ids));
  }
  for (const char* name : {"pts", "shm"}) {
    if (::mkdirat(dev, name, 0755) != 0) return Errno(std::string("mkdir /dev/") + name);
    BAILEY_TRY(Give(dev, name, ids));
  }
  return {};
}

Status MountPts(int dev, const MountIds& ids) {
  // devpts cannot be idmapped, and reads gid= in the mounter's namespace: the tenant's group tty is
  // base+5. Its ptmx and root belong to the mounter: given away.
  const auto pts = NewMount("devpts",
                            {{"ptmxmode", "0666"},
                             {"mode", "0620"},
                             {"gid", std::to_string(ids.uid_base + kTtyGroup)},
                             {"max", "256"}},
                            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  if (!pts) return pts.error();
  BAILEY_TRY(Give(pts->get(), "ptmx", ids));
  BAILEY_TRY(Give(pts->get(), "", ids));
  return AttachAt(dev, "pts", pts->get());
}

}  // namespace

Status MakeMountPoints(int plain_root) {
  for (const char* name : {"dev", "proc", "run", "sys", "tmp"}) {
    const auto found = OpenBeneathNoSymlinks(plain_root, name, O_PATH | O_DIRECTORY);
    if (found) continue;
    if (found.error().Errno() != ENOENT)
      return found.error().WithHint(std::string("the tenant's /") + name +
                                    " must be a directory for it to start");
    if (::mkdirat(plain_root, name, 0755) != 0) return Errno(std::string("mkdir /") + name);
  }
  return {};
}

Status MountDev(int root, const MountIds& ids) {
  const auto dev = TenantTmpfs(ids, 64 << 10, "755", MOUNT_ATTR_NOEXEC);
  if (!dev) return dev.error();
  BAILEY_TRY(FillDev(dev->get(), ids));
  BAILEY_TRY(AttachAt(root, "dev", dev->get()));
  BAILEY_TRY(MountPts(dev->get(), ids));
  const auto shm = TenantTmpfs(ids, 64 << 20, "1777", MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (!shm) return shm.error();
  return AttachAt(dev->get(), "shm", shm->get());
}

Status MountRunAndTmp(int root, const MountIds& ids) {
  const auto run = TenantTmpfs(ids, 16 << 20, "755", MOUNT_ATTR_NODEV);
  if (!run) return run.error();
  BAILEY_TRY(AttachAt(root, "run", run->get()));
  // The memory limit counts what lies in a tmpfs: half of it keeps /tmp from starving the tasks.
  const uint64_t half = ids.memory_limit == 0 ? kTmpLimit : ids.memory_limit / 2;
  const auto tmp =
      TenantTmpfs(ids, std::clamp<uint64_t>(half, 1 << 20, kTmpLimit), "1777", MOUNT_ATTR_NODEV);
  if (!tmp) return tmp.error();
  return AttachAt(root, "tmp", tmp->get());
}

}  // namespace bailey::supervisor
