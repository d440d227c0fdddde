#include "fs/directory_listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <unordered_set>

namespace bailey::fs {
namespace {

struct RawEntry {  // linux_dirent64
  uint64_t number;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[1];
};

}  // namespace

struct DirectoryListing::Builder {
  Node& directory;
  const Sources& sources;
  DirectoryListing listing;
  // Names seen in the layers above, whiteouts included; unused where there is one layer only.
  std::unordered_set<std::string> covered;
  bool merged;
  bool impure;

  void Add(std::string_view name, uint64_t number, mode_t type) {
    listing.items_.push_back({static_cast<uint32_t>(listing.text_.size()),
                              static_cast<uint32_t>(name.size()), number, type});
    listing.text_ += name;
  }
  Done AddLayer(int directory_fd, const LowerPart* lower, bool last);
  Done AddEntry(int directory_fd, dev_t device, const RawEntry& entry, const LowerPart* lower,
                bool last);
  bool IsHidden(std::string_view name, const LowerPart* lower) const;
};

bool DirectoryListing::Builder::IsHidden(std::string_view name, const LowerPart* lower) const {
  if (sources.projection.Hides(directory, name)) return true;
  if (lower == nullptr || !sources.projection.HidesName(name)) return false;
  const std::string path(name);
  return sources.projection.HidesLower(lower->path.empty() ? path : lower->path + "/" + path);
}

// The number that stat would show: for an entry that more than one layer may have a say in.
Done DirectoryListing::Builder::AddEntry(int directory_fd, dev_t device, const RawEntry& entry,
                                         const LowerPart* lower, bool last) {
  const std::string_view name = entry.name;
  if (name == "." || name == ".." || IsHidden(name, lower)) return {};
  if (merged) {
    if (last ? covered.contains(std::string(name)) : !covered.emplace(name).second) return {};
  }
  if (entry.type == DT_CHR) {
    struct stat st {};
    if (::fstatat(directory_fd, entry.name, &st, AT_SYMLINK_NOFOLLOW) != 0) return Refuse();
    if (IsWhiteout(st)) return {};
  }
  mode_t type = DTTOIF(entry.type);
  uint64_t number = 0;
  const bool unsure = entry.type == DT_UNKNOWN || (entry.type == DT_DIR && merged && !last) ||
                      (lower == nullptr && impure);
  if (unsure) {
    const auto found = sources.resolver.Resolve(directory, std::string(name));
    const int error = NumberOf(found);
    if (error == ENOENT) return {};
    // What is damaged, or too deep, has a name still; whoever looks it up is told.
    if (error != 0 && error != EIO && error != ENAMETOOLONG) return found.error();
    if (error == 0) type = found->st.st_mode & S_IFMT;
    number = error == 0 ? found->number : sources.numbers.Map(device, entry.number);
  } else {
    number = sources.numbers.Map(device, entry.number);
  }
  Add(name, number, type);
  return {};
}

Done DirectoryListing::Builder::AddLayer(int directory_fd, const LowerPart* lower, bool last) {
  const UniqueFd own(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return Refuse();
  struct stat st {};
  if (::fstat(own.get(), &st) != 0) return Refuse();
  alignas(RawEntry) std::array<char, 32UL * 1024> buffer;
  for (;;) {
    const long got = ::syscall(SYS_getdents64, own.get(), buffer.data(), buffer.size());
    if (got < 0) return Refuse();
    if (got == 0) return {};
    for (long at = 0; at < got;) {
      const auto& entry = *reinterpret_cast<const RawEntry*>(buffer.data() + at);
      BAILEY_TRY(AddEntry(own.get(), st.st_dev, entry, lower, last));
      at += entry.length;
    }
  }
}

Answer<DirectoryListing> DirectoryListing::Read(Node& directory, const Sources& sources) {
  const auto& lowers = directory.directory->lowers;
  const bool in_upper = directory.in_upper;
  Builder builder{directory,
                  sources,
                  {},
                  {},
                  lowers.size() + (in_upper ? 1 : 0) > 1,
                  in_upper && sources.resolver.IsImpure(directory)};
  const Node* parent = directory.at.parent;
  builder.Add(".", directory.number, S_IFDIR);
  builder.Add("..", parent == nullptr ? directory.number.load() : parent->number.load(), S_IFDIR);
  if (in_upper) {
    const auto fd = sources.fds.Upper(directory);
    if (!fd) return fd.error();
    BAILEY_TRY(builder.AddLayer((*fd)->get(), nullptr, lowers.empty()));
  }
  for (const auto& part : lowers) {
    const auto fd = sources.fds.Lower(*part);
    if (!fd) return fd.error();
    BAILEY_TRY(builder.AddLayer((*fd)->get(), part.get(), part == lowers.back()));
  }
  return std::move(builder.listing);
}

DirectoryListing::Item DirectoryListing::operator[](size_t index) const {
  const Stored& item = items_[index];
  return {std::string_view(text_).substr(item.start, item.length), item.number, item.type};
}

}  // namespace bailey::fs
