// Tree: rename(2) in all its forms. docs/DESIGN.md, "fs: locks and lifetimes", tells what each form
// does on disk.
#include <fcntl.h>
#include <sys/xattr.h>

#include "fs/tree.h"

namespace bailey::fs {

struct Tree::Move {
  Node& from;
  const std::string& old_name;
  Node& to;
  const std::string& new_name;
  Node& source;
  Node* target;  // nullptr: nothing is there
  SharedFd from_fd, to_fd;
};

// A merged directory takes its lower parts along by a redirect; one of the upper alone must not be
// merged with what lies below its new place.
Done Tree::PrepareToMove(Node& node, Node& to) {
  if (!node.is_directory()) return PrepareToShow(node, to);
  BAILEY_TRY(MarkImpure(to, fds_));
  const auto fd = fds_.Upper(node);
  if (!fd) return fd.error();
  const auto& lowers = node.directory->lowers;
  if (!lowers.empty()) {
    const std::string redirect = "/" + node.directory->path_below;
    return DoneOrErrno(
        ::fsetxattr((*fd)->get(), kRedirectMark, redirect.data(), redirect.size(), 0));
  }
  if (to.directory->lowers.empty()) return {};
  return DoneOrErrno(::fsetxattr((*fd)->get(), kOpaqueMark, "y", 1, 0));
}

Done Tree::MoveFile(Move& move, bool whiteout) {
  return DoneOrErrno(::renameat2(move.from_fd->get(), move.old_name.c_str(), move.to_fd->get(),
                                 move.new_name.c_str(), whiteout ? RENAME_WHITEOUT : 0U));
}

// A directory in the upper that shows nothing may hold whiteouts, over which no rename is possible:
// an empty opaque one takes its place.
Done Tree::EmptyTarget(Move& move) {
  WorkItem item(work_, work_.NewName());
  if (::mkdirat(work_.fd(), item.c_str(), 0700) != 0) return Refuse();
  const auto empty = OpenDirectoryBeneath(work_.fd(), item.name());
  if (!empty) return empty.error();
  BAILEY_TRY(DoneOrErrno(::fsetxattr(empty->get(), kOpaqueMark, "y", 1, 0)));
  return item.MoveTo(move.to_fd->get(), move.new_name, RENAME_EXCHANGE);
}

Done Tree::MoveDirectory(Move& move, bool whiteout) {
  struct stat st {};
  const bool there =
      ::fstatat(move.to_fd->get(), move.new_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (there && IsWhiteout(st)) {
    // Exchanged, it is where it is needed already, or removed.
    BAILEY_TRY(DoneOrErrno(::renameat2(move.from_fd->get(), move.old_name.c_str(),
                                       move.to_fd->get(), move.new_name.c_str(), RENAME_EXCHANGE)));
    if (!whiteout) (void)::unlinkat(move.from_fd->get(), move.old_name.c_str(), 0);
    return {};
  }
  const Done done = MoveFile(move, whiteout);
  if (done || !there) return done;
  if (done.error().number != ENOTEMPTY && done.error().number != EEXIST) return done;
  BAILEY_TRY(EmptyTarget(move));
  return MoveFile(move, whiteout);
}

Done Tree::Exchange(Move& move) {
  if (move.target == nullptr) return Refuse(ENOENT);
  if (move.target == &move.source) return {};
  BAILEY_TRY(GiveName(move.source, move.from, move.old_name));
  BAILEY_TRY(GiveName(*move.target, move.to, move.new_name));
  BAILEY_TRY(PrepareToMove(move.source, move.to));
  BAILEY_TRY(PrepareToMove(*move.target, move.from));
  BAILEY_TRY(DoneOrErrno(::renameat2(move.from_fd->get(), move.old_name.c_str(), move.to_fd->get(),
                                     move.new_name.c_str(), RENAME_EXCHANGE)));
  table_.SwapNames(move.from, move.old_name, move.to, move.new_name);
  return {};
}

Done Tree::RenameLocked(Move& move) {
  UniqueFd kept;
  if (move.target != nullptr) {
    if (move.target == &move.source) return {};  // two names of one file: nothing to do
    if (move.target->is_directory()) {
      if (!move.source.is_directory()) return Refuse(EISDIR);
      const auto empty = IsEmptyDirectory(*move.target);
      if (!empty) return empty.error();
      if (!*empty) return Refuse(ENOTEMPTY);
    } else if (move.source.is_directory()) {
      return Refuse(ENOTDIR);
    }
    kept = KeepIfNeeded(*move.target);
  }
  const auto covers = resolver_.LowerHas(move.from, move.old_name);
  if (!covers) return covers.error();
  BAILEY_TRY(GiveName(move.source, move.from, move.old_name));
  if (move.target != nullptr) BAILEY_TRY(GiveName(*move.target, move.to, move.new_name));
  BAILEY_TRY(PrepareToMove(move.source, move.to));
  BAILEY_TRY(move.source.is_directory() ? MoveDirectory(move, *covers) : MoveFile(move, *covers));
  if (move.target != nullptr) NameRemoved(*move.target, move.to, move.new_name, std::move(kept));
  table_.MoveName(move.source, move.from, move.old_name, move.to, move.new_name);
  return {};
}

Done Tree::CheckMove(Move& move, unsigned flags) {
  if ((flags & RENAME_NOREPLACE) != 0 && move.target != nullptr) return Refuse(EEXIST);
  // Moving a directory above a hidden path would show it under another one.
  if (projection_.HidesBelow(move.from, move.old_name) ||
      projection_.HidesBelow(move.to, move.new_name))
    return Deny(EPERM);
  return {};
}

Done Tree::Rename(Node& from, const std::string& old_name, Node& to, const std::string& new_name,
                  unsigned flags) {
  // RENAME_WHITEOUT takes no privilege, and would let a tenant forge what only we may write.
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Deny(EINVAL);
  BAILEY_TRY(MayCreate(to, new_name));
  BAILEY_TRY(copy_up_.Ensure(from));
  // Whatever moves must be in the upper first, which cannot be done under the lock.
  for (const auto& [parent, name] : {std::pair{&from, &old_name}, {&to, &new_name}}) {
    if (name == &new_name && (flags & RENAME_EXCHANGE) == 0) break;
    std::shared_lock lock(tree_lock_);
    const auto pinned = PinChild(*parent, *name);
    lock.unlock();
    if (!pinned) return pinned.error();
    const PinnedNode child(table_, *pinned);
    BAILEY_TRY(copy_up_.Ensure(*child, CopyUp::Data::kUntouched));
  }
  std::unique_lock lock(tree_lock_);
  const auto pinned_source = PinChild(from, old_name);
  if (!pinned_source) return pinned_source.error();
  const PinnedNode source(table_, *pinned_source);
  const auto pinned_target = PinChild(to, new_name);
  if (!pinned_target && pinned_target.error().number != ENOENT) return pinned_target.error();
  const PinnedNode target(table_, pinned_target ? *pinned_target : nullptr);
  if (target && IsToBeCopiedUp(*target)) {
    lock.unlock();
    BAILEY_TRY(copy_up_.Ensure(*target, CopyUp::Data::kUntouched));
    return Rename(from, old_name, to, new_name, flags);
  }
  auto from_fd = fds_.Upper(from);
  if (!from_fd) return from_fd.error();
  auto to_fd = fds_.Upper(to);
  if (!to_fd) return to_fd.error();
  Move move{from, old_name, to, new_name, *source, target.get(), *from_fd, *to_fd};
  BAILEY_TRY(CheckMove(move, flags));
  return (flags & RENAME_EXCHANGE) != 0 ? Exchange(move) : RenameLocked(move);
}

}  // namespace bailey::fs
