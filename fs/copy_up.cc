#include "fs/copy_up.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>

#include "fs/file_copy.h"
#include "fs/reading_turn.h"
#include "fs/thread_place.h"

namespace bailey::fs {

// What is copied. The place stays valid without the tree lock: lowers never change.
struct CopyUp::Source {
  SharedFd holder;
  int directory;
  std::string name;  // "." for a directory
  bool is_kept;      // it has no name any more: `directory` is the file itself
  struct stat st;
  std::unique_ptr<DataPart> data;  // set: its data stay where they are
  UniqueFd file;                   // of a regular file with which its data are copied
  std::optional<LinkKey> link;     // of one of several hard links, which stays one
  LinkMark link_mark;

  bool keeps_number() const { return st.st_nlink == 1 || link; }
};

Done MarkImpure(Node& directory, DirectoryFds& fds) {
  std::atomic<Directory::Purity>& purity = directory.directory->purity;
  if (purity == Directory::Purity::kImpure) return {};
  const auto fd = fds.Upper(directory);
  if (!fd) return fd.error();
  BAILEY_TRY(DoneOrErrno(::fsetxattr((*fd)->get(), kOwnImpureMark, "y", 1, 0)));
  purity = Directory::Purity::kImpure;
  return {};
}

std::mutex& CopyUp::MutexOf(const Node& node) {
  return mutexes_[(reinterpret_cast<uintptr_t>(&node) / sizeof(Node)) % mutexes_.size()];
}

bool CopyUp::IsReady(Node& node, Data data) {
  const Node& current = node.Current();
  return current.in_upper && !current.completing &&
         (data == Data::kUntouched || !current.incomplete);
}

Done CopyUp::Ensure(Node& node, Data data) {
  if (IsReady(node, data)) return {};
  if (!at_.layers.has_upper()) return Refuse(EROFS);
  const PinnedNode parent(at_.table, at_.table.PinParent(node));
  if (parent) BAILEY_TRY(Ensure(*parent));
  std::unique_lock lock(MutexOf(node), std::try_to_lock);
  if (!lock) {
    ReadingTurn::GiveUpMine();  // somebody copies it, or another one: that may take long
    lock.lock();
  }
  if (IsReady(node, data)) return {};
  const bool completes = node.in_upper;
  const Done done = completes             ? Complete(node, data)
                    : node.is_directory() ? CopyDirectory(node)
                                          : CopyFile(node, data);
  lock.unlock();
  if (!done) return done;
  if (!completes) at_.counters.Add(FsCounter::kCopyUps);
  if (node.successor != nullptr && at_.on_succession) at_.on_succession(node);
  return {};
}

Answer<std::shared_lock<std::shared_mutex>> CopyUp::LockToChange(Node& node, Data data) {
  for (;;) {
    BAILEY_TRY(Ensure(node, data));
    std::shared_lock lock(at_.tree_lock);
    if (!node.Current().completing) return lock;
  }
}

namespace {

constexpr size_t kMaxRedirect = 256;  // what the kernel's overlayfs would write

// Where the data of a lower file are, to be left there; nullptr if they cannot be.
std::unique_ptr<DataPart> DataToLeave(const Node& node, const struct stat& st) {
  if (!S_ISREG(st.st_mode) || st.st_size == 0 || node.gone) return nullptr;
  const auto join = [&](const std::string& directory) {
    return directory.empty() ? node.at.text : directory + "/" + node.at.text;
  };
  const Directory& parent = *node.at.parent->directory;
  const auto part = std::find_if(parent.lowers.begin(), parent.lowers.end(),
                                 [&](const auto& lower) { return lower->layer == node.layer; });
  std::string path_below = join(parent.path_below);
  if (part == parent.lowers.end() || path_below.size() >= kMaxRedirect) return nullptr;
  if (node.data != nullptr) return std::make_unique<DataPart>(*node.data);
  return std::make_unique<DataPart>(
      DataPart{node.layer, join((*part)->path), st.st_blocks, std::move(path_below)});
}

// What a truncation does to the attributes: emptied with the copy, this is when its data change.
void BecomeEmpty(struct stat& st) {
  st.st_mtim.tv_nsec = UTIME_NOW;
  if ((st.st_mode & S_IXGRP) != 0) st.st_mode &= ~static_cast<mode_t>(S_ISGID);
  st.st_mode &= ~static_cast<mode_t>(S_ISUID);
}

}  // namespace

// Not those of the living host: an upgrade would change them under the attributes.
bool CopyUp::MayLeaveData(Node& node, const Place& place) {
  if (node.data == nullptr)
    return !at_.layers.IsBound(node.layer, place.directory, place.name, place.flags);
  const auto file = at_.locator.Open(node, O_PATH);
  return file && !at_.layers.IsBound(node.data->layer, file->get(), "", AT_EMPTY_PATH);
}

Answer<CopyUp::Source> CopyUp::OpenSource(Node& node, Data data) {
  const std::shared_lock lock(at_.tree_lock);
  auto place = at_.locator.Locate(node);
  if (!place) return place.error();
  Source source{place->holder,
                place->directory,
                place->is_file() ? "." : place->name,
                static_cast<bool>(node.kept),
                {},
                {},
                {},
                {},
                {}};
  if (::fstatat(place->directory, place->name, &source.st, place->flags) != 0) return Refuse();
  if (node.is_lower_link() && !node.gone) {
    source.link = LinkKey{static_cast<uint16_t>(node.link_device), node.link_number};
    source.link_mark = LinkMark::OfLower(source.st);
  }
  if (!S_ISREG(node.type)) return source;
  if (data == Data::kUntouched && MayLeaveData(node, *place))
    source.data = DataToLeave(node, source.st);
  if (source.data != nullptr) return source;
  auto file = at_.locator.Open(node, O_RDONLY | O_NOATIME);
  if (!file) return file.error();
  source.file = std::move(*file);
  return source;
}

// The bare file in the work area, with its data; the descriptor of a regular one.
Answer<UniqueFd> CopyUp::MakeCopy(const Source& source, const std::string& name, Data data) {
  const int work = at_.work.fd();
  UniqueFd copy;
  if (S_ISREG(source.st.st_mode)) {
    copy.Reset(::openat(work, name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (!copy) return Refuse();
    if (data == Data::kDropped || source.st.st_size == 0) return copy;
    if (source.data != nullptr) {
      if (::ftruncate(copy.get(), source.st.st_size) != 0) return Refuse();
      return copy;
    }
    ReadingTurn::GiveUpMine();
    const auto copied = CopyData(source.file.get(), copy.get(), source.st.st_size);
    if (!copied) return copied.error();
    at_.counters.Add(FsCounter::kCopyUpBytes, *copied);
    return copy;
  }
  if (S_ISLNK(source.st.st_mode)) {
    std::string target(PATH_MAX, '\0');
    // A kept one is open itself.
    const char* link = source.name == "." ? "" : source.name.c_str();
    const ssize_t size = ::readlinkat(source.directory, link, target.data(), target.size());
    if (size < 0) return Refuse();
    target.resize(static_cast<size_t>(size));
    if (::symlinkat(target.c_str(), work, name.c_str()) != 0) return Refuse();
    return copy;
  }
  if (::mknodat(work, name.c_str(), (source.st.st_mode & S_IFMT) | 0600, source.st.st_rdev) != 0)
    return Refuse();
  return copy;
}

// Owner, attributes, number, marks, mode and times.
Done CopyUp::Dress(const Node& node, const Source& source, const std::string& name) {
  const int work = at_.work.fd();
  BAILEY_TRY(DoneOrErrno(
      ::fchownat(work, name.c_str(), source.st.st_uid, source.st.st_gid, AT_SYMLINK_NOFOLLOW)));
  // A kept file has no name any more; its attributes went with it.
  if (!source.is_kept) BAILEY_TRY(CopyAttributes(source.directory, source.name, work, name));
  // One of several hard links that is not kept in the index becomes a file of its own, and so gets
  // a number of its own.
  if (!node.is_directory() && source.keeps_number())
    BAILEY_TRY(Mark(name, kOriginMark, std::to_string(node.number)));
  if (source.link) BAILEY_TRY(Mark(name, kLinkMark, source.link_mark.Text()));
  if (source.data != nullptr) BAILEY_TRY(Mark(name, kMetacopyMark, ""));
  return CopyIdentity(source.st, work, name);
}

Done CopyUp::Mark(const std::string& name, const char* mark, const std::string& value) {
  if (!ThreadPlace::Enter(at_.work.fd())) return Refuse();
  return DoneOrErrno(::lsetxattr(name.c_str(), mark, value.data(), value.size(), 0));
}

Done CopyUp::CopyFile(Node& node, Data data) {
  auto source = OpenSource(node, data);
  if (!source) return source.error();
  WorkItem item(at_.work, at_.work.NewName());
  if (data == Data::kDropped && source->st.st_size != 0) BecomeEmpty(source->st);
  auto copy = MakeCopy(*source, item.name(), data);
  if (!copy) return copy.error();
  BAILEY_TRY(Dress(node, *source, item.name()));
  // Else a power cut after the rename could leave an empty file where the template's one was.
  const bool has_data = *copy && source->st.st_size != 0 && data != Data::kDropped;
  if (has_data && source->data == nullptr && ::fdatasync(copy->get()) != 0) return Refuse();
  return CommitFile(node, *source, std::move(*copy), item);
}

// The rename disturbs the parent's times, which nobody asked for.
Done CopyUp::MoveIntoTree(Node& node, WorkItem& item) {
  Node& parent = *node.at.parent;
  const auto fd = at_.fds.Upper(parent);
  if (!fd) return fd.error();
  struct stat before {};
  if (::fstat((*fd)->get(), &before) != 0) return Refuse();
  BAILEY_TRY(MarkImpure(parent, at_.fds));
  BAILEY_TRY(item.MoveTo((*fd)->get(), node.at.text));
  const timespec times[2] = {before.st_atim, before.st_mtim};
  return DoneOrErrno(::futimens((*fd)->get(), times));
}

// At the node's name, and at once at those that the lower still shows.
Done CopyUp::Appear(Node& node, const Source& source, WorkItem& item) {
  if (!source.link) return MoveIntoTree(node, item);
  auto entry = at_.links.Add(*source.link, source.link_mark, item.fd(), item.c_str());
  if (!entry) return entry.error();
  if (const Done moved = MoveIntoTree(node, item); !moved) {
    at_.links.Remove(**entry);
    return moved;
  }
  node.index_entry = *entry;
  (void)at_.links.EndName(**entry);  // it is in the tree, and the sum is true
  return {};
}

Done CopyUp::CommitFile(Node& node, Source& source, UniqueFd copy, WorkItem& item) {
  const bool has_origin = source.keeps_number();
  struct stat own {};
  if (::fstatat(at_.work.fd(), item.c_str(), &own, AT_SYMLINK_NOFOLLOW) != 0) return Refuse();
  const uint64_t number = has_origin ? node.number.load() : at_.numbers.Map(own.st_dev, own.st_ino);
  const std::unique_lock lock(at_.tree_lock);
  if (!node.gone) BAILEY_TRY(Appear(node, source, item));
  node.has_origin = has_origin;
  node.number = number;
  const bool has_own_data = source.data == nullptr;
  if (node.gone || (has_own_data && at_.backings.InUse(node))) {
    if (node.gone && !copy)
      copy.Reset(::openat(at_.work.fd(), item.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    Succeed(node, std::move(source.file), std::move(copy));
    return {};
  }
  if (has_own_data) {
    at_.backings.Retire(node);
    node.data.reset();
    node.incomplete = false;
  } else {
    node.data = std::move(source.data);
    node.incomplete = true;
  }
  node.in_upper = true;  // last: seen without a lock
  return {};
}

// Open files go on reading `lower`, by this node; the name leads to a new one. `file` is that of a
// node that is gone.
void CopyUp::Succeed(Node& node, UniqueFd lower, UniqueFd file) {
  auto next = std::make_unique<Node>();
  next->type = node.type;
  next->number = node.number.load();
  next->has_origin = node.has_origin;
  next->index_entry = std::exchange(node.index_entry, nullptr);
  next->in_upper = true;
  next->is_successor = true;
  next->gone = node.gone.load();
  if (node.gone) next->kept = std::move(file);
  if (!node.in_upper && node.kept) lower = std::move(node.kept);
  node.kept = std::move(lower);
  node.data.reset();
  node.incomplete = false;
  at_.table.Succeed(node, std::move(next));
}

Done CopyUp::CopyDirectory(Node& node) {
  auto source = OpenSource(node, Data::kUntouched);
  if (!source) return source.error();
  WorkItem item(at_.work, at_.work.NewName());
  if (::mkdirat(at_.work.fd(), item.c_str(), 0700) != 0) return Refuse();
  BAILEY_TRY(Dress(node, *source, item.name()));
  const std::unique_lock lock(at_.tree_lock);
  if (node.gone) return Refuse(ENOENT);
  BAILEY_TRY(MoveIntoTree(node, item));
  node.directory->purity = Directory::Purity::kPure;
  node.in_upper = true;
  return {};
}

}  // namespace bailey::fs
