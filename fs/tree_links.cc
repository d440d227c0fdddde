// Tree: what a file needs before and after its names change.
#include <sys/xattr.h>

#include "fs/thread_place.h"
#include "fs/tree.h"

namespace bailey::fs {

// Before a file of the upper shows at another name, which is in `directory`: a name there must be
// looked at for marks, and one without its data must say where these are.
Done Tree::PrepareToShow(Node& file, Node& directory) {
  if (file.has_origin || file.incomplete) BAILEY_TRY(MarkImpure(directory, fds_));
  if (!file.incomplete) return {};
  const auto place = locator_.Locate(file);
  if (!place) return place.error();
  const std::string redirect = "/" + file.data->path_below;
  if (place->is_file())
    return DoneOrErrno(
        ::fsetxattr(place->directory, kRedirectMark, redirect.data(), redirect.size(), 0));
  if (!ThreadPlace::Enter(place->directory)) return Refuse();
  return DoneOrErrno(::lsetxattr(place->name, kRedirectMark, redirect.data(), redirect.size(), 0));
}

// Before a name of such a file goes: only what is in the upper, and in the index of hard links,
// loses a name without a trace at the others.
bool Tree::IsToBeCopiedUp(const Node& child) const {
  return child.is_lower_link() && !child.in_upper && layers_.has_upper();
}

// A name that only a lower has of a file that is copied up becomes one of the upper's: what happens
// to the name next happens to the number of links in the same step.
Done Tree::GiveName(Node& file, Node& parent, const std::string& name) {
  LinkEntry* entry = file.index_entry;
  if (entry == nullptr) return {};
  const auto fd = fds_.Upper(parent);
  if (!fd) return fd.error();
  struct stat st {};
  if (::fstatat((*fd)->get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return {};
  if (errno != ENOENT) return Refuse();
  BAILEY_TRY(MarkImpure(parent, fds_));
  BAILEY_TRY(links_.BeginName(*entry));
  const Done given =
      DoneOrErrno(::linkat(entry->directory, entry->name.c_str(), (*fd)->get(), name.c_str(), 0));
  // Also of a name that could not be had: a sum would not see the file's next name go.
  const Done ended = links_.EndName(*entry);
  return given ? ended : given;
}

// A name has gone from the disk. `kept` is the file if it was the last one.
void Tree::NameRemoved(Node& child, Node& parent, const std::string& name, UniqueFd kept) {
  const bool has_others = child.index_entry != nullptr && links_.Keep(*child.index_entry);
  if (!has_others) child.index_entry = nullptr;
  if (table_.RemoveName(child, parent, name, has_others)) return;
  if (kept)
    child.kept = std::move(kept);
  else if (!child.kept)
    table_.Unlink(child);
  backings_.Retire(child);
}

}  // namespace bailey::fs
