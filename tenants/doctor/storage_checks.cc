// Where tenants' files are to lie: passthrough and layers ask something of that file system.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "base/units.h"
#include "tenants/doctor/host_checks.h"

namespace bailey::tenants {
namespace {

constexpr uint64_t kLittle = uint64_t{1} << 30;

struct KnownType {
  int64_t magic;
  const char* name;
  bool fit;
};
// Passthrough refuses what is stacked itself (fs/fuse/passthrough.c, max_stack_depth).
constexpr auto kTypes = std::to_array<KnownType>({
    {EXT4_SUPER_MAGIC, "ext4", true},
    {XFS_SUPER_MAGIC, "xfs", true},
    {BTRFS_SUPER_MAGIC, "btrfs", true},
    {TMPFS_MAGIC, "tmpfs", true},
    {OVERLAYFS_SUPER_MAGIC, "overlayfs", false},
    {FUSE_SUPER_MAGIC, "fuse", false},
    {NFS_SUPER_MAGIC, "nfs", false},
});

// The directory itself, or the nearest one above it that exists.
std::string Existing(std::string path) {
  while (path.size() > 1 && ::access(path.c_str(), F_OK) != 0) {
    path.erase(path.rfind('/'));
    if (path.empty()) path = "/";
  }
  return path;
}

HostCheck CheckType(const std::string& path, const struct statfs& info) {
  for (const KnownType& type : kTypes) {
    if (static_cast<int64_t>(info.f_type) != type.magic) continue;
    const std::string found = std::string(type.name) + " at " + path;
    if (type.fit) return {"state", CheckResult::kOk, found, {}};
    return {"state", CheckResult::kMissing, found + ": FUSE passthrough does not work on it",
            "set BAILEY_STATE_DIR to a directory on ext4, xfs or btrfs"};
  }
  return {"state", CheckResult::kWarning, "an unknown file system at " + path,
          "ext4, xfs and btrfs are known to work"};
}

HostCheck CheckRoom(const struct statfs& info) {
  const uint64_t free = static_cast<uint64_t>(info.f_bavail) * static_cast<uint64_t>(info.f_bsize);
  const std::string found = FormatSize(free >> 20 << 20) + " free";
  if (free >= kLittle) return {"room", CheckResult::kOk, found, {}};
  return {"room", CheckResult::kWarning, found, "make room, or move BAILEY_STATE_DIR"};
}

// Layers keep what they must know in trusted.overlay.*: tried on a file without a name.
HostCheck CheckTrustedXattrs(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file)
    return {"state xattrs", CheckResult::kWarning, "not tried: " + Errno(path).Message(), {}};
  if (::fsetxattr(file.get(), "trusted.bailey.doctor", "y", 1, 0) == 0)
    return {"state xattrs", CheckResult::kOk, "trusted.*", {}};
  return {"state xattrs", CheckResult::kMissing, "no trusted.*: " + Errno("").Message(),
          "set BAILEY_STATE_DIR to a directory on ext4, xfs or btrfs"};
}

}  // namespace

std::vector<HostCheck> CheckStorage(const HostPlaces& places) {
  const std::string path = Existing(places.state);
  struct statfs info {};
  if (::statfs(path.c_str(), &info) != 0)
    return {{"state", CheckResult::kWarning, "not looked at: " + Errno(path).Message(), {}}};
  std::vector<HostCheck> checks = {CheckType(path, info), CheckRoom(info)};
  if (::geteuid() == 0) checks.push_back(CheckTrustedXattrs(path));
  return checks;
}

}  // namespace bailey::tenants
