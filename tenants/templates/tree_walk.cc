#include "tenants/templates/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/unique_fd.h"

namespace bailey::tenants {
namespace {

constexpr size_t kDeepest = 500;

struct Level {
  UniqueFd fd;
  std::string path;                // "" at the root, else with a slash at the end
  std::vector<std::string> names;  // what is left to see, last first
};

Result<Level> Open(int parent, const std::string& name, std::string path) {
  Level level{
      UniqueFd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)),
      std::move(path),
      {}};
  if (!level.fd) return Errno("open " + level.path);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(
      ::fdopendir(::fcntl(level.fd.get(), F_DUPFD_CLOEXEC, 3)), ::closedir);
  if (!stream) return Errno("read " + level.path);
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string found = entry->d_name;
    if (found != "." && found != "..") level.names.push_back(found);
  }
  std::ranges::sort(level.names, std::greater<>());
  return level;
}

bool IsMountRoot(int parent, const std::string& name) {
  struct statx info {};
  return ::statx(parent, name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

}  // namespace

Status WalkTree(int root, const std::function<Result<Walk>(const TreeEntry&)>& visit) {
  std::vector<Level> levels;
  auto top = Open(root, ".", "");
  if (!top) return top.error();
  levels.push_back(std::move(*top));
  while (!levels.empty()) {
    Level& level = levels.back();
    if (level.names.empty()) {
      levels.pop_back();
      continue;
    }
    const std::string name = std::move(level.names.back());
    level.names.pop_back();
    const std::string path = level.path + name;
    struct stat info {};
    if (::fstatat(level.fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return Errno("stat " + path);
    }
    const bool other_mount = IsMountRoot(level.fd.get(), name);
    const Result<Walk> next = visit({level.fd.get(), name, path, info, other_mount});
    if (!next) return next.error();
    if (*next == Walk::kSkip || !S_ISDIR(info.st_mode) || other_mount) continue;
    if (levels.size() >= kDeepest) return Errno("walk " + path.substr(0, 200), EMLINK);
    auto below = Open(level.fd.get(), name, path + "/");
    if (below) {
      levels.push_back(std::move(*below));
    } else if (below.error().Errno() != ENOENT) {
      return below.error();
    }
  }
  return {};
}

}  // namespace bailey::tenants
