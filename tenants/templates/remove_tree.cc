#include "tenants/templates/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <vector>

#include "base/unique_fd.h"

namespace bailey::tenants {
namespace {

// Deeper directories are moved up to the top first, so that a chain of a million directories costs
// no more descriptors than this.
constexpr int kMaxDepth = 40;

Result<UniqueFd> OpenSameMount(int parent, const std::string& name) {
  struct statx info {};
  if (::statx(parent, name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) != 0)
    return Errno("statx " + name);
  if ((info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
    return Errno("remove " + name + ": something is mounted there", EBUSY);
  UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return Errno("open " + name);
  return fd;
}

Result<std::vector<std::string>> Names(int dir) {
  const int own = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return Errno("open directory");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(own), ::closedir);
  if (!stream) {
    ::close(own);
    return Errno("fdopendir");
  }
  std::vector<std::string> names;
  for (errno = 0; const dirent* entry = ::readdir(stream.get()); errno = 0) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) return Errno("readdir");
  return names;
}

class Remover {
 public:
  explicit Remover(int top) : top_(top) {}

  // Empties the top directory; what was moved up meanwhile takes another round.
  Status Empty() {
    do {
      moved_ = false;
      BAILEY_TRY(EmptyDirectory(top_, 0));
    } while (moved_);
    return {};
  }

 private:
  Status EmptyDirectory(int dir, int depth) {  // NOLINT(misc-no-recursion): bounded by kMaxDepth
    auto names = Names(dir);
    if (!names) return names.error();
    for (const std::string& name : *names) BAILEY_TRY(RemoveEntry(dir, name, depth));
    return {};
  }

  Status RemoveEntry(int dir, const std::string& name, int depth) {  // NOLINT(misc-no-recursion)
    if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return Errno("unlink " + name);
    if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) return Errno("rmdir " + name);
    if (depth >= kMaxDepth) return MoveUp(dir, name);
    {
      auto child = OpenSameMount(dir, name);
      if (!child) return child.error();
      BAILEY_TRY(EmptyDirectory(child->get(), depth + 1));
    }
    if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0) return Errno("rmdir " + name);
    return {};
  }

  Status MoveUp(int dir, const std::string& name) {
    for (;; ++counter_) {
      const std::string there = ".deep-" + std::to_string(counter_);
      if (::renameat2(dir, name.c_str(), top_, there.c_str(), RENAME_NOREPLACE) == 0) break;
      if (errno != EEXIST) return Errno("move up " + name);
    }
    moved_ = true;
    return {};
  }

  int top_;
  bool moved_ = false;
  unsigned long counter_ = 0;
};

}  // namespace

Status RemoveTree(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return Errno("unlink " + name);
  auto top = OpenSameMount(parent, name);
  if (!top) return top.error();
  BAILEY_TRY(Remover(top->get()).Empty());
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0) return Errno("rmdir " + name);
  return {};
}

Status RemoveTree(const std::string& path) { return RemoveTree(AT_FDCWD, path); }

}  // namespace bailey::tenants
