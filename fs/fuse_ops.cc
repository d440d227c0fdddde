#include "fs/fuse_ops.h"

#include <sys/stat.h>

#include "fs/counter_text.h"
#include "fs/fuse_ops_files.h"
#include "fs/fuse_reply.h"

namespace bailey::fs {
namespace {

void Init(void*, fuse_conn_info* connection) {
  constexpr unsigned kWanted =
      FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_POSIX_ACL |
      FUSE_CAP_DONT_MASK | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO;
  // Writeback caching would silently switch passthrough off, splicing gains nothing.
  connection->want = kWanted & connection->capable;
  connection->max_background = 64;
  connection->time_gran = 1;
}

void LookUp(fuse_req_t request, fuse_ino_t parent, const char* name) noexcept {
  Count(request, FsCounter::kLookups);
  const auto entry = TreeOf(request).LookUp(NodeOf(request, parent), name);
  if (!entry && entry.error().number == ENOENT) {
    fuse_entry_param absent{};
    absent.entry_timeout = kForever;
    fuse_reply_entry(request, &absent);
    return;
  }
  ReplyEntry(request, entry);
}

void Forget(fuse_req_t request, fuse_ino_t id, uint64_t lookups) noexcept {
  TreeOf(request).Forget(NodeOf(request, id), lookups);
  fuse_reply_none(request);
}

void ForgetMany(fuse_req_t request, size_t count, fuse_forget_data* forgets) noexcept {
  for (size_t i = 0; i < count; ++i)
    TreeOf(request).Forget(NodeOf(request, forgets[i].ino), forgets[i].nlookup);
  fuse_reply_none(request);
}

void GetAttributes(fuse_req_t request, fuse_ino_t id, fuse_file_info*) noexcept {
  Count(request, FsCounter::kGetattrs);
  Node& node = NodeOf(request, id);
  ReplyAttributes(request, node, TreeOf(request).Stat(node));
}

Attributes ChangeOf(const struct stat& wanted, int valid) {
  Attributes change;
  const auto take = [&](int fuse, unsigned ours) {
    if ((valid & fuse) != 0) change.valid |= ours;
  };
  take(FUSE_SET_ATTR_MODE, Attributes::kMode);
  take(FUSE_SET_ATTR_UID, Attributes::kUid);
  take(FUSE_SET_ATTR_GID, Attributes::kGid);
  take(FUSE_SET_ATTR_SIZE, Attributes::kSize);
  take(FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME, Attributes::kTimes);
  change.mode = wanted.st_mode;
  change.uid = wanted.st_uid;
  change.gid = wanted.st_gid;
  change.size = wanted.st_size;
  if ((valid & FUSE_SET_ATTR_ATIME) != 0) change.times[0] = wanted.st_atim;
  if ((valid & FUSE_SET_ATTR_MTIME) != 0) change.times[1] = wanted.st_mtim;
  if ((valid & FUSE_SET_ATTR_ATIME_NOW) != 0) change.times[0].tv_nsec = UTIME_NOW;
  if ((valid & FUSE_SET_ATTR_MTIME_NOW) != 0) change.times[1].tv_nsec = UTIME_NOW;
  return change;
}

void SetAttributes(fuse_req_t request, fuse_ino_t id, struct stat* wanted, int valid,
                   fuse_file_info* info) noexcept {
  Count(request, FsCounter::kSetattrs);
  Node& node = NodeOf(request, id);
  const FileHandle* handle = HandleOf(info);
  Attributes change = ChangeOf(*wanted, valid);
  if (info != nullptr) change.valid |= Attributes::kOfOpenFile;
  ReplyAttributes(
      request, node,
      TreeOf(request).SetAttributes(node, change, handle == nullptr ? -1 : handle->file.get()));
}

void ReadLink(fuse_req_t request, fuse_ino_t id) noexcept {
  const auto target = TreeOf(request).ReadLink(NodeOf(request, id));
  if (!target)
    fuse_reply_err(request, target.error().number);
  else
    fuse_reply_readlink(request, target->c_str());
}

void Make(fuse_req_t request, fuse_ino_t parent, const char* name, const NewcomerSpec& spec) {
  Count(request, FsCounter::kMutations);
  ReplyEntry(request, TreeOf(request).Make(NodeOf(request, parent), name, spec, CallerOf(request)));
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
              dev_t) noexcept {
  Make(request, parent, name, {mode, {}, false});
}
void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) noexcept {
  Make(request, parent, name, {(mode & 07777) | S_IFDIR, {}, false});
}
void MakeSymlink(fuse_req_t request, const char* target, fuse_ino_t parent,
                 const char* name) noexcept {
  Make(request, parent, name, {S_IFLNK | 0777, target, false});
}

void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) noexcept {
  Count(request, FsCounter::kMutations);
  ReplyDone(request, TreeOf(request).Unlink(NodeOf(request, parent), name));
}
void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) noexcept {
  Count(request, FsCounter::kMutations);
  ReplyDone(request, TreeOf(request).RemoveDirectory(NodeOf(request, parent), name));
}
void Rename(fuse_req_t request, fuse_ino_t from, const char* old_name, fuse_ino_t to,
            const char* new_name, unsigned flags) noexcept {
  Count(request, FsCounter::kMutations);
  ReplyDone(request, TreeOf(request).Rename(NodeOf(request, from), old_name, NodeOf(request, to),
                                            new_name, flags));
}
void Link(fuse_req_t request, fuse_ino_t id, fuse_ino_t parent, const char* name) noexcept {
  Count(request, FsCounter::kMutations);
  ReplyEntry(request, TreeOf(request).Link(NodeOf(request, id), NodeOf(request, parent), name));
}

// Both ask for the size first, with room for none.
void ReplyValue(fuse_req_t request, const Answer<std::string>& value, size_t room) {
  if (!value)
    fuse_reply_err(request, value.error().number);
  else if (room == 0)
    fuse_reply_xattr(request, value->size());
  else if (value->size() > room)
    fuse_reply_err(request, ERANGE);
  else
    fuse_reply_buf(request, value->data(), value->size());
}
void GetAttribute(fuse_req_t request, fuse_ino_t id, const char* name, size_t room) noexcept {
  if (id == FUSE_ROOT_ID && ServerOf(request).shows_counters && name == kCountersAttribute)
    return ReplyValue(request, CounterText(TreeOf(request).counters()), room);
  ReplyValue(request, TreeOf(request).GetAttribute(NodeOf(request, id), name), room);
}
void ListAttributes(fuse_req_t request, fuse_ino_t id, size_t room) noexcept {
  ReplyValue(request, TreeOf(request).ListAttributes(NodeOf(request, id)), room);
}
void SetAttribute(fuse_req_t request, fuse_ino_t id, const char* name, const char* value,
                  size_t size, int flags) noexcept {
  Count(request, FsCounter::kMutations);
  constexpr auto kKill = static_cast<int>(protocol::kFlagKillSetgid);
  ReplyDone(request, TreeOf(request).SetAttribute(NodeOf(request, id), name, {value, size},
                                                  flags & ~kKill, (flags & kKill) == 0));
}
void RemoveAttribute(fuse_req_t request, fuse_ino_t id, const char* name) noexcept {
  Count(request, FsCounter::kMutations);
  ReplyDone(request, TreeOf(request).RemoveAttribute(NodeOf(request, id), name));
}

void StatFs(fuse_req_t request, fuse_ino_t) noexcept {
  const auto st = TreeOf(request).StatFs();
  if (!st)
    fuse_reply_err(request, st.error().number);
  else
    fuse_reply_statfs(request, &*st);
}

fuse_lowlevel_ops MakeOperations() {
  fuse_lowlevel_ops operations{};
  operations.init = Init;
  operations.lookup = LookUp;
  operations.forget = Forget;
  operations.forget_multi = ForgetMany;
  operations.getattr = GetAttributes;
  operations.setattr = SetAttributes;
  operations.readlink = ReadLink;
  operations.mknod = MakeNode;
  operations.mkdir = MakeDirectory;
  operations.symlink = MakeSymlink;
  operations.unlink = Unlink;
  operations.rmdir = RemoveDirectory;
  operations.rename = Rename;
  operations.link = Link;
  operations.getxattr = GetAttribute;
  operations.listxattr = ListAttributes;
  operations.setxattr = SetAttribute;
  operations.removexattr = RemoveAttribute;
  operations.statfs = StatFs;
  AddFileOperations(&operations);
  AddDirectoryOperations(&operations);
  return operations;
}

}  // namespace

const fuse_lowlevel_ops& FuseOperations() {
  static const fuse_lowlevel_ops operations = MakeOperations();
  return operations;
}

}  // namespace bailey::fs
