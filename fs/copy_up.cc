#include "fs/copy_up.h"

#include <sys/xattr.h>

#include "fs/file_copy.h"
#include "fs/reading_turn.h"
#include "fs/thread_place.h"

namespace bailey::fs {

// What is copied. The place stays valid without the tree lock: lowers never change.
struct CopyUp::Source {
  SharedFd holder;
  int directory;
  std::string name;  // "." for a directory
  struct stat st;
  UniqueFd file;  // of a regular file
};

Done MarkImpure(Node& directory, DirectoryFds& fds) {
  std::atomic<Directory::Purity>& purity = directory.directory->purity;
  if (purity == Directory::Purity::kImpure) return {};
  const auto fd = fds.Upper(directory);
  if (!fd) return fd.error();
  BAILEY_TRY(DoneOrErrno(::fsetxattr((*fd)->get(), kImpureMark, "y", 1, 0)));
  purity = Directory::Purity::kImpure;
  return {};
}

std::mutex& CopyUp::MutexOf(const Node& node) {
  return mutexes_[(reinterpret_cast<uintptr_t>(&node) / sizeof(Node)) % mutexes_.size()];
}

bool CopyUp::IsReady(Node& node, Data data) {
  const Node& current = node.Current();
  return current.in_upper && (data == Data::kUntouched || !current.incomplete);
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
  Done done = node.is_directory() ? CopyDirectory(node) : CopyFile(node, data);
  if (done) at_.counters.Add(FsCounter::kCopyUps);
  return done;
}

Answer<CopyUp::Source> CopyUp::OpenSource(Node& node) {
  const std::shared_lock lock(at_.tree_lock);
  auto place = at_.locator.Locate(node);
  if (!place) return place.error();
  Source source{place->holder, place->directory, place->is_file() ? "." : place->name, {}, {}};
  if (::fstatat(place->directory, place->name, &source.st, place->flags) != 0) return Refuse();
  if (!S_ISREG(node.type)) return source;
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
    if (data == Data::kDropped) return copy;
    if (source.st.st_size != 0) ReadingTurn::GiveUpMine();
    const auto copied = CopyData(source.file.get(), copy.get(), source.st.st_size);
    if (!copied) return copied.error();
    at_.counters.Add(FsCounter::kCopyUpBytes, *copied);
    return copy;
  }
  if (S_ISLNK(source.st.st_mode)) {
    std::string target(PATH_MAX, '\0');
    const ssize_t size =
        ::readlinkat(source.directory, source.name.c_str(), target.data(), target.size());
    if (size < 0) return Refuse();
    target.resize(static_cast<size_t>(size));
    if (::symlinkat(target.c_str(), work, name.c_str()) != 0) return Refuse();
    return copy;
  }
  if (::mknodat(work, name.c_str(), (source.st.st_mode & S_IFMT) | 0600, source.st.st_rdev) != 0)
    return Refuse();
  return copy;
}

// Owner, attributes, number, mode and times.
Done CopyUp::Dress(const Node& node, const Source& source, const std::string& name) {
  const int work = at_.work.fd();
  BAILEY_TRY(DoneOrErrno(
      ::fchownat(work, name.c_str(), source.st.st_uid, source.st.st_gid, AT_SYMLINK_NOFOLLOW)));
  // A kept file has no name any more; its attributes went with it.
  if (!node.kept) BAILEY_TRY(CopyAttributes(source.directory, source.name, work, name));
  // One of several hard links becomes a file of its own, and so gets a number of its own.
  if (!node.is_directory() && source.st.st_nlink == 1) {
    const std::string number = std::to_string(node.number);
    if (!ThreadPlace::Enter(work)) return Refuse();
    BAILEY_TRY(
        DoneOrErrno(::lsetxattr(name.c_str(), kOriginMark, number.data(), number.size(), 0)));
  }
  return CopyIdentity(source.st, work, name);
}

Done CopyUp::CopyFile(Node& node, Data data) {
  auto source = OpenSource(node);
  if (!source) return source.error();
  WorkItem item(at_.work, at_.work.NewName());
  // Emptied with the copy, so this is when its data change.
  if (data == Data::kDropped && source->st.st_size != 0) source->st.st_mtim.tv_nsec = UTIME_NOW;
  auto copy = MakeCopy(*source, item.name(), data);
  if (!copy) return copy.error();
  BAILEY_TRY(Dress(node, *source, item.name()));
  // Else a power cut after the rename could leave an empty file where the template's one was.
  if (*copy && source->st.st_size != 0 && data != Data::kDropped && ::fdatasync(copy->get()) != 0)
    return Refuse();
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

Done CopyUp::CommitFile(Node& node, Source& source, UniqueFd copy, WorkItem& item) {
  const bool has_origin = source.st.st_nlink == 1;
  struct stat own {};
  if (::fstatat(at_.work.fd(), item.c_str(), &own, AT_SYMLINK_NOFOLLOW) != 0) return Refuse();
  const uint64_t number = has_origin ? node.number.load() : at_.numbers.Map(own.st_dev, own.st_ino);
  const std::unique_lock lock(at_.tree_lock);
  if (!node.gone) BAILEY_TRY(MoveIntoTree(node, item));
  const bool in_use = at_.backings.InUse(node);
  if (!in_use && !node.gone) {
    at_.backings.Retire(node);
    node.has_origin = has_origin;
    node.number = number;
    node.data.reset();
    node.incomplete = false;
    node.in_upper = true;
    return {};
  }
  // Open files go on reading the lower file, by this node; the name leads to a new one.
  auto next = std::make_unique<Node>();
  next->type = node.type;
  next->number = number;
  next->has_origin = has_origin;
  next->in_upper = true;
  next->gone = node.gone.load();
  if (node.gone) next->kept = std::move(copy);  // its name goes with `item`
  if (!node.kept) node.kept = std::move(source.file);
  at_.table.Succeed(node, std::move(next));
  return {};
}

Done CopyUp::CopyDirectory(Node& node) {
  auto source = OpenSource(node);
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
