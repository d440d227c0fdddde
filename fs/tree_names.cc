// Tree: making, linking and removing names.
#include <fcntl.h>

#include "fs/tree.h"

namespace bailey::fs {

Answer<Entry> Tree::Make(Node& parent, const std::string& name, const NewcomerSpec& spec,
                         const Caller& caller) {
  // A device 0/0 would be a whiteout, any other one a way to the host's hardware.
  if (S_ISCHR(spec.mode) || S_ISBLK(spec.mode)) return Deny(EPERM);
  BAILEY_TRY(MayCreate(parent, name));
  const std::shared_lock lock(tree_lock_);
  const auto fd = fds_.Upper(parent);
  if (!fd) return fd.error();
  NewcomerSpec own = spec;
  own.opaque = !parent.directory->lowers.empty();
  const auto made = MakeNewcomer(work_, (*fd)->get(), name, own, caller);
  if (!made) return made.error();
  Node* node = NodeOfNewcomer(made->st, parent, name);
  return Entry{node, Shown(*node, made->st)};
}

// A further name for the file of `source`, over the whiteout that may be there.
Done Tree::LinkIntoTree(Node& source, int parent, const std::string& name) {
  const auto from = source.work_name.empty()
                        ? locator_.Locate(source)
                        : Answer<Place>(Place{nullptr, work_.fd(), source.work_name.c_str(),
                                              AT_SYMLINK_NOFOLLOW});
  if (!from) return from.error();
  if (from->is_file()) return Refuse(ENOENT);  // unlinked for good
  if (::linkat(from->directory, from->name, parent, name.c_str(), 0) == 0) return {};
  if (errno != EEXIST) return Refuse();
  struct stat st {};
  if (::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Refuse();
  if (!IsWhiteout(st)) return Refuse(EEXIST);
  WorkItem item(work_, work_.NewName());
  BAILEY_TRY(DoneOrErrno(::linkat(from->directory, from->name, work_.fd(), item.c_str(), 0)));
  return item.MoveTo(parent, name);
}

Answer<Entry> Tree::Link(Node& node, Node& parent, const std::string& name) {
  BAILEY_TRY(MayCreate(parent, name));
  BAILEY_TRY(copy_up_.Ensure(node, CopyUp::Data::kUntouched));
  const std::unique_lock lock(tree_lock_);
  // The kernel asks only for names that are free. In the upper the disk judges again, but a lower's
  // would have two entries in the table.
  if (const PinnedNode there(table_, table_.FindAndPin(parent, name)); there) return Refuse(EEXIST);
  Node& source = node.Current();
  BAILEY_TRY(PrepareToShow(source, parent));
  const auto fd = fds_.Upper(parent);
  if (!fd) return fd.error();
  BAILEY_TRY(LinkIntoTree(source, (*fd)->get(), name));
  if (!source.work_name.empty()) {
    (void)::unlinkat(work_.fd(), source.work_name.c_str(), 0);
    source.work_name.clear();
    source.kept.Reset();  // a path leads to it now
  }
  table_.AddName(source, parent, name);
  const auto st = locator_.Stat(source);
  if (!st) return st.error();
  table_.MarkLinked(source, st->st_dev, st->st_ino);
  table_.CountLookup(source);
  return Entry{&source, Shown(source, *st)};
}

// What must go on working after its last name is gone: open files, and what is no regular file (a
// process may stand in a directory, or hold a fifo, without the server knowing).
UniqueFd Tree::KeepIfNeeded(Node& child) {
  const bool open = child.handles != 0 || child.is_successor;
  if (child.kept || (child.type == S_IFREG && !open)) return UniqueFd();
  if (S_ISREG(child.type)) {
    auto file = locator_.OpenItself(child, child.in_upper ? O_RDWR : O_RDONLY);
    if (!file) file = locator_.OpenItself(child, O_RDONLY);
    return file ? std::move(*file) : UniqueFd();
  }
  auto file = locator_.Open(child, child.is_directory() ? O_RDONLY : O_PATH);
  return file ? std::move(*file) : UniqueFd();
}

Done Tree::Unlink(Node& parent, const std::string& name) {
  BAILEY_TRY(copy_up_.Ensure(parent));
  for (bool may_copy = true;;) {
    std::unique_lock lock(tree_lock_);
    const auto pinned = PinChild(parent, name);
    if (!pinned) return pinned.error();
    const PinnedNode child(table_, *pinned);
    if (child->is_directory()) return Refuse(EISDIR);
    if (!may_copy || !IsToBeCopiedUp(*child)) return UnlinkLocked(*child, parent, name);
    lock.unlock();
    const Done copied = copy_up_.Ensure(*child, CopyUp::Data::kUntouched);
    // A full disk must not forbid to remove; the other names then show one link too many.
    may_copy = copied.has_value();
    if (!copied && copied.error().number != ENOSPC) return copied;
  }
}

Done Tree::UnlinkLocked(Node& child, Node& parent, const std::string& name) {
  BAILEY_TRY(GiveName(child, parent, name));
  const auto fd = fds_.Upper(parent);
  if (!fd) return fd.error();
  const auto covers = resolver_.LowerHas(parent, name);
  if (!covers) return covers.error();
  UniqueFd kept = KeepIfNeeded(child);
  if (*covers)
    BAILEY_TRY(work_.WhiteOut((*fd)->get(), name, child.in_upper));
  else
    BAILEY_TRY(DoneOrErrno(::unlinkat((*fd)->get(), name.c_str(), 0)));
  NameRemoved(child, parent, name, std::move(kept));
  return {};
}

Answer<bool> Tree::IsEmptyDirectory(Node& directory) {
  const auto listing = DirectoryListing::Read(directory, {fds_, resolver_, numbers_, projection_});
  if (!listing) return listing.error();
  return listing->empty();
}

Done Tree::RemoveDirectory(Node& parent, const std::string& name) {
  BAILEY_TRY(copy_up_.Ensure(parent));
  const std::unique_lock lock(tree_lock_);
  const auto pinned = PinChild(parent, name);
  if (!pinned) return pinned.error();
  const PinnedNode child(table_, *pinned);
  if (!child->is_directory()) return Refuse(ENOTDIR);
  const auto fd = fds_.Upper(parent);
  if (!fd) return fd.error();
  const auto covers = resolver_.LowerHas(parent, name);
  if (!covers) return covers.error();
  UniqueFd kept = KeepIfNeeded(*child);
  // Nothing below and nothing in it: one call, and the disk judges whether it is empty.
  const bool plain = !*covers && child->directory->lowers.empty();
  if (!plain || ::unlinkat((*fd)->get(), name.c_str(), AT_REMOVEDIR) != 0) {
    if (plain && errno != ENOTEMPTY && errno != EEXIST) return Refuse();
    const auto empty = IsEmptyDirectory(*child);
    if (!empty) return empty.error();
    if (!*empty) return Refuse(ENOTEMPTY);
    if (!child->in_upper)
      BAILEY_TRY(work_.WhiteOut((*fd)->get(), name, false));
    else if (*covers)
      BAILEY_TRY(work_.WhiteOutDirectory((*fd)->get(), name));
    else
      BAILEY_TRY(work_.RemoveDirectory((*fd)->get(), name));
  }
  NameRemoved(*child, parent, name, std::move(kept));
  return {};
}

}  // namespace bailey::fs
