#include "fs/work_area.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <chrono>
#include <memory>
#include <thread>

#include "fs/layer_set.h"

namespace bailey::fs {
namespace {

constexpr char kSubdirectory[] = "bailey";

// rm -rf of the content of a directory; the first errno.
int Empty(int directory) {
  const int own = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return errno;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(own), ::closedir);
  if (listing == nullptr) return errno;
  int failed = 0;
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (::unlinkat(directory, entry->d_name, 0) == 0) continue;
    if (errno == EISDIR || errno == EPERM) {
      const UniqueFd below(
          ::openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (below) (void)Empty(below.get());
      if (::unlinkat(directory, entry->d_name, AT_REMOVEDIR) == 0) continue;
    }
    if (failed == 0) failed = errno;
  }
  return failed;
}

// umount(2) returns before the server has noticed that its mount is gone: whoever mounts again at
// once must not be refused.
constexpr std::chrono::milliseconds kPatience(3000), kPause(5);

// One server for an upper at a time.
Status Lock(int work) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (::flock(work, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Errno("lock the work directory");
    if (std::chrono::steady_clock::now() >= deadline)
      return Errno("work directory", EBUSY).WithHint("another bailey-fs serves this upper");
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

}  // namespace

Result<WorkArea> WorkArea::Open(UniqueFd work) {
  WorkArea area;
  if (!work) return area;
  BAILEY_TRY(Lock(work.get()));
  if (::mkdirat(work.get(), kSubdirectory, 0700) != 0 && errno != EEXIST)
    return Errno("mkdir in the work directory");
  area.fd_.Reset(
      ::openat(work.get(), kSubdirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!area.fd_) return Errno("open the work directory");
  if (const int failed = Empty(area.fd_.get()); failed != 0)
    return Errno("empty the work directory", failed);
  // The marks of a layered root need trusted attributes: better refused now than at a rename.
  if (::fsetxattr(area.fd_.get(), kImpureMark, "y", 1, 0) != 0)
    return Errno("set trusted.overlay attributes in the work directory");
  (void)::fremovexattr(area.fd_.get(), kImpureMark);
  area.lock_ = std::move(work);
  return area;
}

std::string WorkArea::NewName() { return "w" + std::to_string(next_.fetch_add(1)); }

Answer<std::string> WorkArea::MakeWhiteout() {
  std::string name = NewName();
  if (::mknodat(fd(), name.c_str(), S_IFCHR, 0) != 0) return Refuse();
  return name;
}

Done WorkArea::WhiteOut(int directory, const std::string& name, bool exists) {
  if (!exists) return DoneOrErrno(::mknodat(directory, name.c_str(), S_IFCHR, 0));
  auto whiteout = MakeWhiteout();
  if (!whiteout) return whiteout.error();
  return WorkItem(*this, std::move(*whiteout)).MoveTo(directory, name);
}

Done WorkArea::WhiteOutDirectory(int directory, const std::string& name) {
  auto whiteout = MakeWhiteout();
  if (!whiteout) return whiteout.error();
  return WorkItem(*this, std::move(*whiteout)).MoveTo(directory, name, RENAME_EXCHANGE);
}

Done WorkArea::RemoveDirectory(int directory, const std::string& name) {
  if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return Refuse();
  const WorkItem item(*this, NewName());
  return DoneOrErrno(::renameat(directory, name.c_str(), fd(), item.c_str()));
}

void WorkArea::Discard(const std::string& name) {
  if (::unlinkat(fd(), name.c_str(), 0) == 0 || (errno != EISDIR && errno != EPERM)) return;
  {
    const UniqueFd below(
        ::openat(fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (below) (void)Empty(below.get());
  }
  (void)::unlinkat(fd(), name.c_str(), AT_REMOVEDIR);
}

Done WorkItem::MoveTo(int directory, const std::string& name, unsigned flags) {
  if (::renameat2(area_.fd(), name_.c_str(), directory, name.c_str(), flags) != 0) return Refuse();
  if ((flags & RENAME_EXCHANGE) == 0) name_.clear();
  return {};
}

}  // namespace bailey::fs
