#include "fs/link_index.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "fs/thread_place.h"

namespace bailey::fs {
namespace {

constexpr char kDirectory[] = "bailey-links";

// Takes a number and the separator after it (0: the end) from the front of `text`.
template <class Number>
bool TakeNumber(std::string_view& text, char separator, Number& number) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(at - text.data()));
  if (separator == '\0') return text.empty();
  if (text.empty() || text.front() != separator) return false;
  text.remove_prefix(1);
  return true;
}

// The thread's working directory is where it was afterwards.
class Visit {
 public:
  Visit() : before_(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) {}
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  ~Visit() {
    if (before_) (void)ThreadPlace::Enter(before_.get());
  }

 private:
  UniqueFd before_;
};

}  // namespace

std::string LinkKey::Text() const {
  return std::to_string(layer_from_bottom) + "-" + std::to_string(number);
}

std::optional<LinkKey> LinkKey::Parse(std::string_view text) {
  LinkKey key;
  if (!TakeNumber(text, '-', key.layer_from_bottom) || !TakeNumber(text, '\0', key.number))
    return std::nullopt;
  return key;
}

bool LinkMark::IsOf(const struct stat& lower) const {
  return size == lower.st_size && mtime == lower.st_mtim.tv_sec &&
         mtime_ns == lower.st_mtim.tv_nsec;
}

LinkMark LinkMark::OfLower(const struct stat& lower) {
  return {true, static_cast<int64_t>(lower.st_nlink), lower.st_size, lower.st_mtim.tv_sec,
          lower.st_mtim.tv_nsec};
}

std::string LinkMark::Text() const {
  return (is_sum ? "=" : "+") + std::to_string(value) + " " + std::to_string(size) + " " +
         std::to_string(mtime) + " " + std::to_string(mtime_ns);
}

std::optional<LinkMark> LinkMark::Parse(std::string_view text) {
  LinkMark mark;
  if (text.empty() || (text.front() != '=' && text.front() != '+')) return std::nullopt;
  mark.is_sum = text.front() == '=';
  text.remove_prefix(1);
  if (!TakeNumber(text, ' ', mark.value) || !TakeNumber(text, ' ', mark.size) ||
      !TakeNumber(text, ' ', mark.mtime) || !TakeNumber(text, '\0', mark.mtime_ns))
    return std::nullopt;
  return mark;
}

Done LinkIndex::Open(const LayerSet& layers, int work) {
  layers_ = &layers;
  work_ = work;
  for (LayerIndex layer = 0; layer <= layers.last(); ++layer) {
    struct stat st {};
    if ((layer != kUpperLayer || layers.has_upper()) && ::fstat(layers.RootOf(layer), &st) != 0)
      return Refuse();
    devices_.push_back(st.st_dev);
  }
  if (work < 0) return {};
  fd_.Reset(::openat(work, kDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd_) return errno == ENOENT ? Done() : Done(Refuse());
  const Visit visit;
  const int own = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return Refuse();
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(own), ::closedir);
  if (listing == nullptr) return Refuse();
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(listing.get());
    if (entry == nullptr) return errno == 0 ? Done() : Done(Refuse());
    const std::string name = entry->d_name;
    if (name != "." && name != "..") BAILEY_TRY(Load(name));
  }
}

Done LinkIndex::Load(const std::string& name) {
  std::array<char, 128> text;
  if (!ThreadPlace::Enter(fd_.get())) return Refuse();
  const ssize_t size = ::lgetxattr(name.c_str(), kLinkMark, text.data(), text.size());
  // No mark, or one longer than any of ours: rubbish. Else the entry may be all that a file has.
  if (size < 0 && errno != ENODATA && errno != ERANGE) return Refuse();
  const auto key = LinkKey::Parse(name);
  const auto mark = LinkMark::Parse({text.data(), static_cast<size_t>(std::max(size, ssize_t{0}))});
  LinkEntry entry{key.value_or(LinkKey()), fd_.get(), name, 0, mark.value_or(LinkMark())};
  const auto st = Stat(entry);
  if (!st) return st.error();
  if (!key || !mark || entry.LinksToShow(*st) <= 0) {
    (void)::unlinkat(fd_.get(), name.c_str(), 0);
    return {};
  }
  entry.upper_number = st->st_ino;
  return EndName(*Insert(std::move(entry)));
}

LinkEntry* LinkIndex::Insert(LinkEntry entry) {
  const LinkKey key = entry.key;
  auto& place = entries_[key];
  place = std::make_unique<LinkEntry>(std::move(entry));
  by_upper_number_[place->upper_number] = place.get();
  return place.get();
}

std::optional<LinkKey> LinkIndex::KeyOf(LayerIndex layer, int directory, const std::string& name,
                                        const struct stat& st) const {
  if (layer == kUpperLayer || S_ISDIR(st.st_mode) || st.st_nlink < 2) return std::nullopt;
  if (st.st_dev != devices_[layer]) return std::nullopt;
  if (layers_->IsBound(layer, directory, name.c_str(), AT_SYMLINK_NOFOLLOW)) return std::nullopt;
  return LinkKey{static_cast<uint16_t>(layers_->last() - layer), st.st_ino};
}

LinkEntry* LinkIndex::Find(const LinkKey& key) const {
  const auto at = entries_.find(key);
  return at == entries_.end() ? nullptr : at->second.get();
}

LinkEntry* LinkIndex::FindUpper(const struct stat& st) const {
  if (by_upper_number_.empty() || st.st_dev != devices_[kUpperLayer]) return nullptr;
  const auto at = by_upper_number_.find(st.st_ino);
  return at == by_upper_number_.end() ? nullptr : at->second;
}

Answer<struct stat> LinkIndex::Stat(const LinkEntry& entry) const {
  struct stat st {};
  if (::fstatat(fd_.get(), entry.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Refuse();
  return st;
}

Answer<LinkEntry*> LinkIndex::Add(const LinkKey& key, const LinkMark& mark, int directory,
                                  const char* name) {
  if (!fd_) {
    if (::mkdirat(work_, kDirectory, 0700) != 0 && errno != EEXIST) return Refuse();
    fd_.Reset(::openat(work_, kDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd_) return Refuse();
  }
  LinkEntry entry{key, fd_.get(), key.Text(), 0, mark};
  if (::linkat(directory, name, fd_.get(), entry.name.c_str(), 0) != 0) return Refuse();
  const auto st = Stat(entry);
  if (!st) return st.error();
  entry.upper_number = st->st_ino;
  return Insert(std::move(entry));
}

Done LinkIndex::Write(LinkEntry& entry, const LinkMark& mark) {
  const std::string text = mark.Text();
  if (!ThreadPlace::Enter(fd_.get())) return Refuse();
  BAILEY_TRY(DoneOrErrno(::lsetxattr(entry.name.c_str(), kLinkMark, text.data(), text.size(), 0)));
  entry.mark = mark;
  return {};
}

Done LinkIndex::BeginName(LinkEntry& entry) {
  if (entry.mark.is_sum) return {};
  const auto st = Stat(entry);
  if (!st) return st.error();
  LinkMark mark = entry.mark;
  mark.value = entry.LinksToShow(*st);
  mark.is_sum = true;
  return Write(entry, mark);
}

Done LinkIndex::EndName(LinkEntry& entry) {
  if (!entry.mark.is_sum) return {};
  const auto st = Stat(entry);
  if (!st) return st.error();
  LinkMark mark = entry.mark;
  mark.value -= static_cast<int64_t>(st->st_nlink);
  mark.is_sum = false;
  return Write(entry, mark);
}

bool LinkIndex::Keep(LinkEntry& entry) {
  const auto st = Stat(entry);
  if (!st || entry.LinksToShow(*st) > 0) return true;
  Remove(entry);
  return false;
}

void LinkIndex::Remove(LinkEntry& entry) {
  (void)::unlinkat(fd_.get(), entry.name.c_str(), 0);
  by_upper_number_.erase(entry.upper_number);
  entries_.erase(LinkKey(entry.key));
}

}  // namespace bailey::fs
