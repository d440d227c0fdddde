#include "tenants/templates/disk_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace bailey::tenants {
namespace {

using Clock = std::chrono::steady_clock;
using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

constexpr size_t kDeepest = 200;      // each level holds a descriptor
constexpr uint64_t kTimeChecks = 64;  // entries between two looks at the clock

class Measuring {
 public:
  explicit Measuring(const WalkBounds& bounds)
      : bounds_(bounds), end_(Clock::now() + bounds.time) {}

  Result<DiskUse> Run(int directory) {
    struct statx top {};
    if (::statx(directory, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &top) != 0) return Errno("statx");
    Count(top);
    if (!Enter(directory, ".")) return Errno("read directory");
    while (!levels_.empty()) {
      if (IsEnough()) {
        use_.complete = false;
        break;
      }
      const dirent* entry = ::readdir(levels_.back().get());
      if (entry == nullptr)
        levels_.pop_back();
      else
        See(entry->d_name);
    }
    return use_;
  }

 private:
  bool IsEnough() {
    ++seen_;
    return seen_ > bounds_.entries || (seen_ % kTimeChecks == 0 && Clock::now() >= end_);
  }

  bool Enter(int parent, const char* name) {
    UniqueFd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return false;
    Directory stream(::fdopendir(fd.get()), ::closedir);
    if (!stream) return false;
    (void)fd.Release();
    levels_.push_back(std::move(stream));
    return true;
  }

  void See(const std::string& name) {
    if (name == "." || name == "..") return;
    const int parent = ::dirfd(levels_.back().get());
    struct statx info {};
    if (::statx(parent, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
                &info) != 0)
      return;
    if ((info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) return;
    Count(info);
    if (!S_ISDIR(info.stx_mode)) return;
    // A directory that cannot be entered is gone, unless it is us who cannot.
    if (levels_.size() >= kDeepest || (!Enter(parent, name.c_str()) && errno != ENOENT))
      use_.complete = false;
  }

  void Count(const struct statx& info) {
    constexpr uint64_t kBlock = 512;
    if (!S_ISDIR(info.stx_mode) && info.stx_nlink > 1 && !linked_.insert(info.stx_ino).second)
      return;
    use_.bytes += info.stx_blocks * kBlock;
    ++use_.inodes;
  }

  const WalkBounds& bounds_;
  Clock::time_point end_;
  DiskUse use_;
  uint64_t seen_ = 0;
  std::vector<Directory> levels_;
  std::set<uint64_t> linked_;  // numbers of files with several names: one file system, so enough
};

}  // namespace

Result<DiskUse> MeasureTree(int directory, const WalkBounds& bounds) {
  return Measuring(bounds).Run(directory);
}

}  // namespace bailey::tenants
