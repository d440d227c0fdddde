#include "fs/locator.h"

#include <algorithm>

#include "fs/link_index.h"

namespace bailey::fs {

Answer<Place> Locator::Locate(Node& node) {
  constexpr int kItself = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
  if (node.kept) return Place{nullptr, node.kept.get(), "", kItself};
  if (const LinkEntry* entry = node.index_entry; entry != nullptr)
    return Place{nullptr, entry->directory, entry->name.c_str()};
  // Without a name it is gone, too: an index that counts fewer links than there are names.
  if (node.gone || (!node.is_directory() && node.at.parent == nullptr)) return Refuse(ESTALE);
  if (node.is_directory()) {
    auto fd = fds_.Top(node);
    if (!fd) return fd.error();
    const int number = (*fd)->get();
    return Place{std::move(*fd), number, "", kItself};
  }
  Node& parent = *node.at.parent;
  const auto place_in = [&](Answer<SharedFd> fd) -> Answer<Place> {
    if (!fd) return fd.error();
    const int number = (*fd)->get();
    return Place{std::move(*fd), number, node.at.text.c_str()};
  };
  if (node.in_upper) return place_in(fds_.Upper(parent));
  auto& parts = parent.directory->lowers;
  const auto part = std::find_if(parts.begin(), parts.end(),
                                 [&](const auto& lower) { return lower->layer == node.layer; });
  if (part == parts.end()) return Refuse(ESTALE);
  return place_in(fds_.Lower(**part));
}

Answer<struct stat> Locator::Stat(Node& node) {
  const auto place = Locate(node);
  if (!place) return place.error();
  struct stat st {};
  if (::fstatat(place->directory, place->name, &st, place->flags | AT_NO_AUTOMOUNT) != 0)
    return Refuse();
  return st;
}

Answer<UniqueFd> Locator::OpenData(const DataPart& data, int flags) {
  const size_t slash = data.path.rfind('/');
  const auto directory = OpenDirectoryBeneath(
      layers_.RootOf(data.layer), slash == std::string::npos ? "" : data.path.substr(0, slash));
  if (!directory) return directory.error();
  UniqueFd fd(
      ::openat(directory->get(), data.path.c_str() + (slash + 1), flags | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return Refuse();
  return fd;
}

Answer<UniqueFd> Locator::Open(Node& node, int flags) {
  if (node.data != nullptr) return OpenData(*node.data, flags);
  return OpenItself(node, flags);
}

Answer<UniqueFd> Locator::OpenItself(Node& node, int flags) {
  const auto place = Locate(node);
  if (!place) return place.error();
  UniqueFd fd(place->is_file() ? ::fcntl(place->directory, F_DUPFD_CLOEXEC, 0)
                               : ::openat(place->directory, place->name,
                                          flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY));
  if (!fd) return Refuse();
  return fd;
}

}  // namespace bailey::fs
