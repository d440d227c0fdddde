// Operations on open files and directories; the rest is in fuse_ops.cc.
#pragma once

#include <fuse3/fuse_lowlevel.h>

namespace bailey::fs {

void AddFileOperations(fuse_lowlevel_ops* operations);
void AddDirectoryOperations(fuse_lowlevel_ops* operations);

}  // namespace bailey::fs
