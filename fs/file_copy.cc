#include "fs/file_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "fs/layer_set.h"
#include "fs/setgid_capability.h"
#include "fs/thread_place.h"

namespace bailey::fs {
namespace {

constexpr size_t kChunk = 1 << 30;  // sendfile(2) moves less than 2 GiB at once

Done CopyRange(int from, int to, off_t start, off_t end) {
  if (::lseek(to, start, SEEK_SET) < 0) return Refuse();
  while (start < end) {
    const size_t wanted = std::min(kChunk, static_cast<size_t>(end - start));
    const ssize_t sent = ::sendfile(to, from, &start, wanted);
    if (sent == 0) return {};
    if (sent < 0 && errno != EINTR) return Refuse();
  }
  return {};
}

// Whether losing this attribute is worse than refusing the copy-up.
bool MustCopy(std::string_view name) {
  return name == "security.capability" || name.starts_with("user.") ||
         name.starts_with("system.posix_acl_");
}

}  // namespace

Answer<uint64_t> CopyData(int from, int to, off_t size) {
  if (size == 0 || ::ioctl(to, FICLONE, from) == 0) return uint64_t{0};
  uint64_t copied = 0;
  for (off_t at = 0; at < size;) {
    off_t start = ::lseek(from, at, SEEK_DATA);
    if (start < 0 && errno == ENXIO) break;  // a hole up to the end
    off_t end = start < 0 ? size : ::lseek(from, start, SEEK_HOLE);
    if (start < 0) start = at;  // a file system that cannot tell
    if (end < 0) end = size;
    if (const Done done = CopyRange(from, to, start, end); !done) return done.error();
    copied += static_cast<uint64_t>(end - start);
    at = end;
  }
  if (::ftruncate(to, size) != 0) return Refuse();
  return copied;
}

Done CopyAttributes(int from, const std::string& name, int to, const std::string& to_name) {
  if (!ThreadPlace::Enter(from)) return Refuse();
  std::string names(64UL * 1024, '\0');  // XATTR_LIST_MAX
  const ssize_t size = ::llistxattr(name.c_str(), names.data(), names.size());
  if (size < 0) return errno == EOPNOTSUPP ? Done() : Done(Refuse());
  std::vector<std::pair<std::string, std::string>> attributes;
  std::string value;
  for (size_t at = 0; at < static_cast<size_t>(size);) {
    const std::string attribute = names.c_str() + at;
    at += attribute.size() + 1;
    if (attribute.starts_with(kOverlayPrefix) || attribute.starts_with(kOwnPrefix)) continue;
    value.resize(64UL * 1024);  // XATTR_SIZE_MAX
    const ssize_t got = ::lgetxattr(name.c_str(), attribute.c_str(), value.data(), value.size());
    if (got < 0 && MustCopy(attribute)) return Refuse();
    if (got >= 0) attributes.emplace_back(attribute, value.substr(0, static_cast<size_t>(got)));
  }
  if (attributes.empty()) return {};
  if (!ThreadPlace::Enter(to)) return Refuse();
  for (const auto& [attribute, content] : attributes) {
    if (::lsetxattr(to_name.c_str(), attribute.c_str(), content.data(), content.size(), 0) != 0 &&
        MustCopy(attribute))
      return Refuse();
  }
  return {};
}

Done CopyIdentity(const struct stat& st, int directory, const std::string& name) {
  if (!S_ISLNK(st.st_mode))
    BAILEY_TRY(ChangeMode(directory, name.c_str(), st.st_mode & 07777, AT_SYMLINK_NOFOLLOW));
  const timespec times[2] = {st.st_atim, st.st_mtim};
  return DoneOrErrno(::utimensat(directory, name.c_str(), times, AT_SYMLINK_NOFOLLOW));
}

Done ChangeMode(int directory, const char* name, mode_t mode, int flags) {
  constexpr long kFchmodat2 = 452;  // Linux 6.6; glibc 2.36 does not know it
  if ((mode & S_ISGID) == 0)
    return DoneOrErrno(::syscall(kFchmodat2, directory, name, mode, flags));
  const SetgidCapability capability;
  return DoneOrErrno(::syscall(kFchmodat2, directory, name, mode, flags));
}

}  // namespace bailey::fs
