// Walking a tree by descriptors, following no symlink and entering no other mount.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "base/result.h"

namespace bailey::tenants {

struct TreeEntry {
  int parent;  // the directory that it is in; valid during the call
  const std::string& name;
  const std::string& path;  // relative to the root of the walk
  const struct stat& info;  // of the entry itself, never of a symlink's target
  bool other_mount;         // it is the root of another mount: never entered
};

// What to do with a directory once `visit` has seen it.
enum class Walk { kEnter, kSkip };

// Calls `visit` for everything below `root`, parents first, in the order of names. What vanishes
// meanwhile is left out. EMLINK for a tree deeper than 500: nobody means that.
Status WalkTree(int root, const std::function<Result<Walk>(const TreeEntry&)>& visit);

}  // namespace bailey::tenants
