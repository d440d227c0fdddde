// Answers in libfuse's terms, shared by the operations.
#pragma once

#include <fuse3/fuse_lowlevel.h>

#include "fs/fuse_ops.h"
#include "fs/fuse_protocol.h"
#include "fs/transport.h"
#include "fs/tree.h"

namespace bailey::fs {

// The tree has no other writer: what the kernel has seen stays true until it changes it itself.
inline constexpr double kForever = 365.0 * 24 * 3600;

inline FuseServer& ServerOf(fuse_req_t request) {
  return *static_cast<FuseServer*>(Transport::UserOf(request));
}
inline Tree& TreeOf(fuse_req_t request) { return ServerOf(request).tree; }
inline FileHandle* HandleOf(const fuse_file_info* info) {
  return info == nullptr ? nullptr : HandleSet<FileHandle>::Of(info->fh);
}
inline void Count(fuse_req_t request, FsCounter counter) {
  TreeOf(request).counters().Add(counter);
}

Node& NodeOf(fuse_req_t request, fuse_ino_t id);
fuse_ino_t IdOf(Tree& tree, const Node& node);
Caller CallerOf(fuse_req_t request);

double AttributeTimeout(fuse_req_t request, Node& node, const struct stat& st);
fuse_entry_param EntryOf(fuse_req_t request, const Entry& entry);

// fsync or fdatasync.
Done SyncFile(int file, bool only_data);
// Of what the node is now, wherever that is; replies. Gives up the reading turn.
void SyncNode(fuse_req_t request, fuse_ino_t id, bool only_data);

void ReplyDone(fuse_req_t request, const Done& done);
void ReplyEntry(fuse_req_t request, const Answer<Entry>& entry);
void ReplyAttributes(fuse_req_t request, Node& node, const Answer<struct stat>& st);

}  // namespace bailey::fs
