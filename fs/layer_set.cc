#include "fs/layer_set.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <array>

#include "base/syscalls.h"

namespace bailey::fs {

Answer<UniqueFd> OpenDirectoryBeneath(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  for (int attempt = 0;; ++attempt) {
    UniqueFd fd(sys::Openat2(root, path.empty() ? "." : path.c_str(), how));
    if (fd) return fd;
    // EAGAIN: a rename raced with the walk, and the kernel could not prove that we stayed beneath.
    if (errno != EINTR && (errno != EAGAIN || attempt == 100)) return Refuse();
  }
}

std::string AttributeOf(int fd, const char* name) {
  std::array<char, 512> small;
  const ssize_t size = ::fgetxattr(fd, name, small.data(), small.size());
  if (size >= 0) return {small.data(), static_cast<size_t>(size)};
  if (errno != ERANGE) return {};
  std::string large(64UL * 1024, '\0');  // XATTR_SIZE_MAX
  const ssize_t full = ::fgetxattr(fd, name, large.data(), large.size());
  large.resize(full < 0 ? 0 : static_cast<size_t>(full));
  return large;
}

}  // namespace bailey::fs
