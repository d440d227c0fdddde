#include "fs/resolver.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <array>
#include <charconv>
#include <optional>

#include "fs/thread_place.h"

namespace bailey::fs {

struct Resolver::Walk {
  Node& parent;
  std::string name;  // in the layers that come next: a redirect changes it
  Found found;
  bool any = false;                     // something was found further up
  std::optional<std::string> redirect;  // a path from the layers' roots, without leading slash
  bool covered = false;                 // an opaque directory on that path hides the layers below
};

namespace {

bool IsAbsent(int number) { return number == ENOENT || number == ENOTDIR; }

// What the last component of walk.redirect is called in the layers below. An absolute redirect
// leads out of an opaque directory.
void Follow(Resolver::Walk& walk, const std::string& redirect) {
  if (redirect.front() == '/') {
    walk.redirect = redirect.substr(1);
    walk.covered = false;
  } else {
    walk.redirect = walk.redirect->substr(0, walk.redirect->rfind('/') + 1) + redirect;
  }
}

}  // namespace

bool Resolver::IsImpure(Node& directory) {
  using Purity = Directory::Purity;
  std::atomic<Purity>& purity = directory.directory->purity;
  if (purity == Purity::kUnknown) {
    const auto fd = fds_.Upper(directory);
    if (!fd) return false;
    purity = AttributeOf((*fd)->get(), kImpureMark) == "y" ? Purity::kImpure : Purity::kPure;
  }
  return purity == Purity::kImpure;
}

// Looks for what makes a directory more than its entries. Its descriptor is likely to be wanted
// next, but only the node to come could keep it.
Answer<bool> Resolver::TakeDirectory(Walk& walk, LayerIndex layer, int directory,
                                     const std::string& name) {
  if (layer == layers_.last()) return true;
  const auto fd = OpenDirectoryBeneath(directory, name);
  if (!fd) return fd.error();
  if (AttributeOf(fd->get(), kOpaqueMark) == "y") return true;
  std::string redirect = AttributeOf(fd->get(), kRedirectMark);
  if (redirect.empty()) return false;
  if (redirect.front() != '/' && !walk.redirect)
    walk.name = std::move(redirect);
  else
    Follow(walk, redirect);
  return false;
}

uint64_t Resolver::NumberOf(const Walk& walk, int directory, const std::string& name) {
  std::array<char, 24> text;
  if (const struct stat& st = walk.found.st; !IsImpure(walk.parent))
    return numbers_.Map(st.st_dev, st.st_ino);
  ssize_t size = -1;
  if (ThreadPlace::Enter(directory))
    size = ::lgetxattr(name.c_str(), kOriginMark, text.data(), text.size());
  uint64_t number = 0;
  if (size > 0 && std::from_chars(text.data(), text.data() + size, number).ec == std::errc())
    return number;
  return numbers_.Map(walk.found.st.st_dev, walk.found.st.st_ino);
}

Answer<bool> Resolver::Take(Walk& walk, LayerIndex layer, int directory, const std::string& name,
                            std::string path) {
  struct stat st {};
  if (::fstatat(directory, name.c_str(), &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
    if (IsAbsent(errno)) return false;
    return Refuse();
  }
  if (IsWhiteout(st)) return true;
  const bool is_directory = S_ISDIR(st.st_mode);
  if (walk.any && !is_directory) return true;  // a file below a directory is covered by it
  Found& found = walk.found;
  if (!walk.any) {
    found.st = st;
    found.in_upper = layer == kUpperLayer;
    found.layer = layer;
  }
  walk.any = true;
  // A merged directory has its lowest part's number, so that no copy-up or sealing changes it.
  found.number = numbers_.Map(st.st_dev, st.st_ino);
  if (!is_directory) {
    if (layer == kUpperLayer) {
      const uint64_t own = found.number;
      found.number = NumberOf(walk, directory, name);
      found.has_origin = found.number != own;
    }
    return true;
  }
  if (layer != kUpperLayer)
    found.lowers.push_back(std::make_unique<LowerPart>(layer, std::move(path)));
  return TakeDirectory(walk, layer, directory, name);
}

Done Resolver::LookInUpper(Walk& walk) {
  const auto fd = fds_.Upper(walk.parent);
  if (!fd) return fd.error();
  const std::string name = walk.name;
  auto ended = Take(walk, kUpperLayer, (*fd)->get(), name, {});
  if (!ended) return ended.error();
  if (*ended) return {};
  if (walk.redirect) return LookByRedirect(walk, 1);
  return LookInLowers(walk);
}

Done Resolver::LookInLowers(Walk& walk) {
  for (const auto& part : walk.parent.directory->lowers) {
    const auto fd = fds_.Lower(*part);
    if (!fd) return fd.error();
    const std::string name = walk.name;
    auto ended = Take(walk, part->layer, (*fd)->get(), name,
                      part->path.empty() ? name : part->path + "/" + name);
    if (!ended) return ended.error();
    if (*ended) return {};
    if (walk.redirect) return LookByRedirect(walk, static_cast<LayerIndex>(part->layer + 1));
  }
  return {};
}

// The layers from `from` on have the directory at a path of their own.
Done Resolver::LookByRedirect(Walk& walk, LayerIndex from) {
  for (LayerIndex layer = from; layer <= layers_.last(); ++layer) {
    const auto ended = LookAtPath(walk, layer);
    if (!ended) return ended.error();
    if (*ended) return {};
  }
  return {};
}

// Down one layer, component by component: whiteouts, opaque directories and redirects on the way
// count, as in the kernel's ovl_lookup_layer(). Leaves in walk.redirect what the path is in the
// layers below. True: they do not count any more.
Answer<bool> Resolver::LookAtPath(Walk& walk, LayerIndex layer) {
  const std::string path = *walk.redirect;
  walk.redirect = "";
  UniqueFd at;
  for (size_t start = 0;;) {
    const size_t slash = path.find('/', start);
    const std::string name = path.substr(start, slash - start);
    const int above = at ? at.get() : layers_.RootOf(layer);
    *walk.redirect += name;
    if (slash == std::string::npos) {
      const auto ended = Take(walk, layer, above, name, path);
      if (!ended) return ended.error();
      return *ended || walk.covered;
    }
    auto next = OpenDirectoryBeneath(above, name);
    if (!next) {
      *walk.redirect += path.substr(slash);
      const int number = next.error().number;
      if (number == ENOENT) return walk.covered;
      if (number == ENOTDIR || number == ELOOP) return true;  // a whiteout or a file
      return next.error();
    }
    at = std::move(*next);
    if (AttributeOf(at.get(), kOpaqueMark) == "y") {
      walk.covered = true;
    } else if (const std::string redirect = AttributeOf(at.get(), kRedirectMark);
               !redirect.empty()) {
      Follow(walk, redirect);
    }
    *walk.redirect += '/';
    start = slash + 1;
  }
}

Answer<Found> Resolver::Resolve(Node& parent, const std::string& name) {
  Walk walk{parent, name, {}, false, {}};
  const Done done = parent.in_upper ? LookInUpper(walk) : LookInLowers(walk);
  if (!done) return done.error();
  if (!walk.any) return Refuse(ENOENT);
  return std::move(walk.found);
}

Answer<bool> Resolver::LowerHas(Node& parent, const std::string& name) {
  for (const auto& part : parent.directory->lowers) {
    const auto fd = fds_.Lower(*part);
    if (!fd) return fd.error();
    struct stat st {};
    if (::fstatat((*fd)->get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0)
      return !IsWhiteout(st);
    if (!IsAbsent(errno)) return Refuse();
  }
  return false;
}

}  // namespace bailey::fs
