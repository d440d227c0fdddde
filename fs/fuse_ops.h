// The edge to libfuse: each request translated into a call of the Tree, and its answer back.
#pragma once

#include <fuse3/fuse_lowlevel.h>

namespace bailey::fs {

// The transport's user must be a Tree.
const fuse_lowlevel_ops& FuseOperations();

}  // namespace bailey::fs
