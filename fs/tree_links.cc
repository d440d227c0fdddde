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

}  // namespace bailey::fs
