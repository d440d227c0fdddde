// Removing a directory tree that somebody else filled.
#pragma once

#include <string>

#include "base/result.h"

namespace bailey::tenants {

// Removes `name` in the directory `parent` with all that is below. Follows no symlink, refuses to
// enter another mount (EBUSY), and needs a bounded number of descriptors and of stack however deep
// the tree is. A missing `name` is success. On an error part of the tree may be gone; call again.
Status RemoveTree(int parent, const std::string& name);
Status RemoveTree(const std::string& path);

}  // namespace bailey::tenants
