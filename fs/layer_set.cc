#include "fs/layer_set.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <array>

#include "base/syscalls.h"

namespace bailey::fs {
namespace {

// The mount that shows a file; 0 if it cannot be told.
uint64_t MountOf(int directory, const char* name, int flags) {
  struct statx st {};
  if (::statx(directory, name, flags | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) != 0) return 0;
  return (st.stx_mask & STATX_MNT_ID) != 0 ? st.stx_mnt_id : 0;
}

}  // namespace

LayerSet::LayerSet(UniqueFd upper, std::vector<UniqueFd> lowers)
    : upper_(std::move(upper)), lowers_(std::move(lowers)) {
  for (LayerIndex layer = 0; layer <= last(); ++layer)
    mounts_.push_back(MountOf(RootOf(layer), "", AT_EMPTY_PATH));
}

bool LayerSet::IsBound(LayerIndex layer, int directory, const char* name, int flags) const {
  const uint64_t mount = MountOf(directory, name, flags);
  return mount == 0 || mount != mounts_[layer];
}

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
