#include "fs/directory_fds.h"

#include <string>
#include <vector>

namespace bailey::fs {
namespace {

constexpr size_t kLongPath = 3000;  // well below PATH_MAX

}  // namespace

SharedFd DirectoryFds::Cached(CachedFd& slot) {
  const std::lock_guard lock(mutex_);
  if (slot.fd != nullptr) recent_.splice(recent_.begin(), recent_, slot.place);
  return slot.fd;
}

SharedFd DirectoryFds::Keep(CachedFd& slot, UniqueFd fd) {
  auto kept = std::make_shared<const UniqueFd>(std::move(fd));
  SharedFd evicted;
  const std::lock_guard lock(mutex_);
  if (slot.fd != nullptr) return slot.fd;
  if (recent_.size() >= capacity_) {
    evicted = std::move(recent_.back()->fd);
    recent_.back()->fd = nullptr;
    recent_.pop_back();
  }
  slot.fd = kept;
  slot.place = recent_.insert(recent_.begin(), &slot);
  return kept;
}

void DirectoryFds::Offer(CachedFd& slot, UniqueFd fd) { (void)Keep(slot, std::move(fd)); }

Answer<SharedFd> DirectoryFds::Upper(Node& directory) {
  CachedFd& slot = directory.directory->upper_fd;
  if (SharedFd fd = Cached(slot); fd != nullptr) return fd;
  if (directory.gone) return Refuse(ENOENT);
  // From the nearest directory above that is open, down.
  SharedFd above;
  std::vector<const std::string*> names;  // the last first
  for (const Node* node = &directory; above == nullptr && node->at.parent != nullptr;
       node = node->at.parent) {
    names.push_back(&node->at.text);
    above = Cached(node->at.parent->directory->upper_fd);
  }
  UniqueFd at;
  do {
    std::string path;
    for (; !names.empty() && path.size() + names.back()->size() < kLongPath; names.pop_back())
      path.append(path.empty() ? "" : "/").append(*names.back());
    auto step = OpenDirectoryBeneath(at                 ? at.get()
                                     : above != nullptr ? above->get()
                                                        : layers_.RootOf(kUpperLayer),
                                     path);
    if (!step) return step.error();
    at = std::move(*step);
  } while (!names.empty());
  return Keep(slot, std::move(at));
}

Answer<SharedFd> DirectoryFds::Lower(LowerPart& part) {
  if (SharedFd fd = Cached(part.fd); fd != nullptr) return fd;
  UniqueFd at;
  std::string_view rest = part.path;
  while (rest.size() > kLongPath) {
    const size_t slash = rest.rfind('/', kLongPath);
    if (slash == std::string_view::npos) return Refuse(ENAMETOOLONG);
    auto step = OpenDirectoryBeneath(at ? at.get() : layers_.RootOf(part.layer),
                                     std::string(rest.substr(0, slash)));
    if (!step) return step.error();
    at = std::move(*step);
    rest.remove_prefix(slash + 1);
  }
  auto fd = OpenDirectoryBeneath(at ? at.get() : layers_.RootOf(part.layer), std::string(rest));
  if (!fd) return fd.error();
  return Keep(part.fd, std::move(*fd));
}

Answer<SharedFd> DirectoryFds::Top(Node& directory) {
  if (directory.in_upper) return Upper(directory);
  if (directory.directory->lowers.empty()) return Refuse(ENOENT);
  return Lower(*directory.directory->lowers.front());
}

void DirectoryFds::DropSlot(CachedFd& slot) {
  SharedFd dropped;
  const std::lock_guard lock(mutex_);
  if (slot.fd == nullptr) return;
  recent_.erase(slot.place);
  dropped = std::exchange(slot.fd, nullptr);
}

void DirectoryFds::Drop(Node& node) {
  if (node.directory == nullptr) return;
  DropSlot(node.directory->upper_fd);
  for (const auto& part : node.directory->lowers) DropSlot(part->fd);
}

}  // namespace bailey::fs
