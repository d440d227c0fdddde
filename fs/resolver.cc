#include "fs/resolver.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <array>
#include <charconv>
#include <climits>
#include <optional>

#include "fs/thread_place.h"

namespace bailey::fs {

namespace {

// One name, or an absolute path of names.
bool IsPlainPath(std::string_view mark) {
  const bool absolute = mark.starts_with('/');
  if (absolute) mark.remove_prefix(1);
  if (!absolute && mark.find('/') != std::string_view::npos) return false;
  for (;;) {
    const size_t slash = mark.find('/');
    const std::string_view name = mark.substr(0, slash);
    if (name.empty() || name == "." || name == "..") return false;
    if (slash == std::string_view::npos) return true;
    mark.remove_prefix(slash + 1);
  }
}

}  // namespace

struct Resolver::Walk {
  Node& parent;
  std::string name;  // in the layers that come next: a redirect changes it
  Found found;
  bool any = false;                     // something was found further up
  bool seeks_data = false;              // it was a file without its data
  bool is_copied = false;               // it is in the upper, by another name, with its data
  std::optional<std::string> redirect;  // a path from the layers' roots, without leading slash
  bool covered = false;                 // an opaque directory on that path hides the layers below

  // Where the layers below have it, by the mark of one above.
  // Only plain names: whoever made the layer must not lead us out of it.
  Done Follow(std::string mark) {
    if (mark.empty()) return {};
    if (!IsPlainPath(mark)) return Refuse(EIO);
    if (mark.front() == '/') {
      redirect = mark.substr(1);
      covered = false;  // it leads out of the opaque directory
    } else if (redirect) {
      redirect = redirect->substr(0, redirect->rfind('/') + 1) + mark;
    } else {
      name = std::move(mark);
    }
    return {};
  }
};

namespace {

bool IsAbsent(int number) { return number == ENOENT || number == ENOTDIR; }

std::string Join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

}  // namespace

// The attributes of one entry, which need not be a directory, by the thread's working directory:
// nobody may leave it while one of these is in use.
class Resolver::Marks {
 public:
  Marks(int directory, const std::string& name) : directory_(directory), name_(name) {}
  int directory() const { return directory_; }
  const std::string& name() const { return name_; }

  Answer<bool> Has(const char* mark) {
    BAILEY_TRY(Enter());
    if (::lgetxattr(name_.c_str(), mark, nullptr, 0) >= 0) return true;
    if (IsNone(errno)) return false;
    return Refuse();
  }
  // Empty: there is none, or it says nothing.
  Answer<std::string> Value(const char* mark) {
    BAILEY_TRY(Enter());
    std::array<char, 256> small;
    const ssize_t size = ::lgetxattr(name_.c_str(), mark, small.data(), small.size());
    if (size >= 0) return std::string(small.data(), static_cast<size_t>(size));
    if (IsNone(errno)) return std::string();
    if (errno != ERANGE) return Refuse();
    std::string large(64UL * 1024, '\0');  // XATTR_SIZE_MAX
    const ssize_t full = ::lgetxattr(name_.c_str(), mark, large.data(), large.size());
    if (full < 0) return Refuse();
    large.resize(static_cast<size_t>(full));
    return large;
  }

 private:
  static bool IsNone(int number) { return number == ENODATA || number == EOPNOTSUPP; }
  Done Enter() {
    if (!entered_ && !ThreadPlace::Enter(directory_)) return Refuse();
    entered_ = true;
    return {};
  }

  const int directory_;
  const std::string& name_;
  bool entered_ = false;
};

bool Resolver::IsImpure(Node& directory) {
  using Purity = Directory::Purity;
  std::atomic<Purity>& purity = directory.directory->purity;
  if (purity == Purity::kUnknown) {
    const auto fd = fds_.Upper(directory);
    if (!fd) return false;
    const int upper = (*fd)->get();
    const bool impure =
        AttributeOf(upper, kOwnImpureMark) == "y" || AttributeOf(upper, kImpureMark) == "y";
    purity = impure ? Purity::kImpure : Purity::kPure;
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
  BAILEY_TRY(walk.Follow(AttributeOf(fd->get(), kRedirectMark)));
  return false;
}

// The number that a file had before it was copied up.
Answer<std::optional<uint64_t>> Resolver::OriginOf(const Walk& walk, Marks& marks) {
  std::optional<uint64_t> origin;
  if (!IsImpure(walk.parent)) return origin;
  const auto text = marks.Value(kOriginMark);
  if (!text) return text.error();
  uint64_t number = 0;
  if (std::from_chars(text->data(), text->data() + text->size(), number).ec == std::errc())
    origin = number;
  return origin;
}

// A file ends the walk, unless it lacks its data.
Answer<bool> Resolver::TakeFile(Walk& walk, LayerIndex layer, int directory,
                                const std::string& name, const struct stat& st, std::string path) {
  Found& found = walk.found;
  if (walk.seeks_data && !S_ISREG(st.st_mode)) return Refuse(EIO);
  Marks marks(directory, name);
  if (!walk.any && layer == kUpperLayer) {
    const auto origin = OriginOf(walk, marks);
    if (!origin) return origin.error();
    found.has_origin = origin->has_value();
    found.number = origin->value_or(found.number);
    if (found.has_origin && st.st_nlink > 1) found.index_entry = links_.FindUpper(st);
    if (found.index_entry != nullptr) found.link = found.index_entry->key;
  } else if (!walk.any && st.st_nlink > 1) {
    BAILEY_TRY(TakeLowerLink(walk, layer, directory, name, st));
  }
  walk.any = true;
  if (walk.is_copied) return true;
  const auto lacks = LacksData(walk, layer, marks, st);
  if (!lacks) return lacks.error();
  if (*lacks) {
    walk.seeks_data = true;
    auto redirect = marks.Value(kRedirectMark);
    if (!redirect) return redirect.error();
    BAILEY_TRY(walk.Follow(std::move(*redirect)));
    return false;
  }
  if (walk.seeks_data)
    found.data = std::make_unique<DataPart>(DataPart{layer, std::move(path), st.st_blocks, {}});
  return true;
}

Answer<bool> Resolver::LacksData(Walk& walk, LayerIndex layer, Marks& marks,
                                 const struct stat& st) {
  if (layer == layers_.last()) return false;
  const bool upper = layer == kUpperLayer;
  // Its blocks tell nothing: a copied layer may hold zeros where there were none.
  if (!S_ISREG(st.st_mode)) return false;
  // An empty one of the upper may have been emptied by a server that could not take the mark away.
  if (st.st_size == 0 && !upper) return false;
  if (upper && !walk.found.has_origin && walk.parent.directory->lowers.empty() &&
      !IsImpure(walk.parent))
    return false;
  return upper ? IsIncomplete(marks, walk.found.st) : marks.Has(kMetacopyMark);
}

// Whether a file of the upper lacks its data.
Answer<bool> Resolver::IsIncomplete(Marks& marks, struct stat& st) {
  const auto incomplete = marks.Has(kMetacopyMark);
  if (!incomplete || !*incomplete) return incomplete;
  const char* name = marks.name().c_str();
  if (st.st_size == 0) {
    // Truncated, and then a crash: complete, and must not count as incomplete when it has grown.
    BAILEY_TRY(DoneOrErrno(::lremovexattr(name, kMetacopyMark)));
    return false;
  }
  const auto mark = marks.Value(kCompletionMark);
  if (!mark) return mark.error();
  if (!mark->empty()) {
    BAILEY_TRY(completion_.Mend(marks.directory(), marks.name(), *mark));
    if (::fstatat(marks.directory(), name, &st, AT_SYMLINK_NOFOLLOW) != 0) return Refuse();
  }
  return true;
}

// One of several hard links of a lower: by another one of them, it may be copied up.
Done Resolver::TakeLowerLink(Walk& walk, LayerIndex layer, int directory, const std::string& name,
                             const struct stat& st) {
  Found& found = walk.found;
  const auto key = links_.KeyOf(layer, directory, name, st);
  if (!key) return {};
  LinkEntry* entry = links_.Find(*key);
  if (entry == nullptr) {
    found.link = key;
    return {};
  }
  struct stat copy {};
  if (::fstatat(entry->directory, entry->name.c_str(), &copy, AT_SYMLINK_NOFOLLOW) != 0)
    return Refuse();
  // The lower is another one than it was.
  if (!entry->mark.IsOf(st) || (copy.st_mode & S_IFMT) != (st.st_mode & S_IFMT)) return {};
  found.st = copy;
  if (S_ISREG(st.st_mode)) {
    Marks marks(entry->directory, entry->name);
    const auto incomplete = IsIncomplete(marks, found.st);
    if (!incomplete) return incomplete.error();
    walk.seeks_data = *incomplete;
    walk.is_copied = !*incomplete;
  }
  found.link = key;
  found.index_entry = entry;
  found.in_upper = found.has_origin = true;
  return {};
}

Answer<bool> Resolver::Take(Walk& walk, LayerIndex layer, int directory, const std::string& name,
                            std::string path) {
  if (layer != kUpperLayer && projection_.HidesLower(path)) return false;
  struct stat st {};
  if (::fstatat(directory, name.c_str(), &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
    if (IsAbsent(errno)) return false;
    return Refuse();
  }
  if (IsWhiteout(st)) return true;
  const bool is_directory = S_ISDIR(st.st_mode);
  // What lies below something of another kind is covered by it.
  if (walk.any && is_directory == walk.seeks_data) return true;
  Found& found = walk.found;
  if (!walk.any) {
    found.st = st;
    found.in_upper = layer == kUpperLayer;
    found.layer = layer;
  }
  // A merged directory has its lowest part's number, so that no copy-up or sealing changes it.
  if (!walk.any || is_directory) found.number = numbers_.Map(st.st_dev, st.st_ino);
  if (!is_directory) return TakeFile(walk, layer, directory, name, st, std::move(path));
  walk.any = true;
  if (layer != kUpperLayer) {
    if (path.size() >= PATH_MAX) return Refuse(ENAMETOOLONG);
    found.lowers.push_back(std::make_unique<LowerPart>(layer, std::move(path)));
  }
  return TakeDirectory(walk, layer, directory, name);
}

Done Resolver::LookInUpper(Walk& walk) {
  const auto fd = fds_.Upper(walk.parent);
  if (!fd) return fd.error();
  const std::string name = walk.name;
  auto ended = Take(walk, kUpperLayer, (*fd)->get(), name, {});
  if (!ended) return ended.error();
  if (walk.redirect)
    walk.found.path_below = *walk.redirect;
  else if (walk.name != name)
    walk.found.path_below = Join(walk.parent.directory->path_below, walk.name);
  if (*ended) return {};
  if (walk.redirect) return LookByRedirect(walk, 1);
  return LookInLowers(walk);
}

Done Resolver::LookInLowers(Walk& walk) {
  for (const auto& part : walk.parent.directory->lowers) {
    const auto fd = fds_.Lower(*part);
    if (!fd) return fd.error();
    const std::string name = walk.name;
    auto ended = Take(walk, part->layer, (*fd)->get(), name, Join(part->path, name));
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
      BAILEY_TRY(walk.Follow(redirect));
    }
    *walk.redirect += '/';
    start = slash + 1;
  }
}

Answer<Found> Resolver::Resolve(Node& parent, const std::string& name) {
  Walk walk{parent, name, {}, false, {}};
  walk.found.path_below = Join(parent.directory->path_below, name);
  const Done done = parent.in_upper ? LookInUpper(walk) : LookInLowers(walk);
  if (!done) return done.error();
  if (!walk.any) return Refuse(ENOENT);
  if (walk.seeks_data && walk.found.data == nullptr) return Refuse(EIO);
  if (walk.found.data != nullptr) walk.found.data->path_below = walk.found.path_below;
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
