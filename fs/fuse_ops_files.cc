#include "fs/fuse_ops_files.h"

#include <fcntl.h>

#include <memory>

#include "fs/fuse_reply.h"
#include "fs/reading_turn.h"

namespace bailey::fs {
namespace {

// The file's flags for the kernel; takes the file over if we have to serve it ourselves.
protocol::OpenOut OpenOutOf(FuseServer& server, OpenFile file) {
  if (file.backing_id != 0) return {0, protocol::kOpenPassthrough, file.backing_id};
  auto handle = std::make_unique<FileHandle>(FileHandle{std::move(file.file)});
  return {server.files.Add(std::move(handle)), protocol::kOpenKeepCache, 0};
}

void Undo(FuseServer& server, Node& node, const protocol::OpenOut& opened) {
  server.files.Remove(opened.handle);
  server.tree.Close(node);
}

void Open(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) noexcept {
  Count(request, FsCounter::kOpens);
  FuseServer& server = ServerOf(request);
  Tree& tree = server.tree;
  Node& node = NodeOf(request, id);
  auto file = tree.OpenNode(node, info->flags);
  if (!file) {
    fuse_reply_err(request, file.error().number);
    return;
  }
  const protocol::OpenOut out = OpenOutOf(server, std::move(*file));
  if (fuse_reply_buf(request, reinterpret_cast<const char*>(&out), sizeof out) != 0)
    Undo(server, node, out);
}

protocol::AttributesOut AttributesOutOf(const struct stat& st) {
  protocol::AttributesOut out{};
  out.number = st.st_ino;
  out.size = static_cast<uint64_t>(st.st_size);
  out.blocks = static_cast<uint64_t>(st.st_blocks);
  out.atime = static_cast<uint64_t>(st.st_atim.tv_sec);
  out.mtime = static_cast<uint64_t>(st.st_mtim.tv_sec);
  out.ctime = static_cast<uint64_t>(st.st_ctim.tv_sec);
  out.atime_ns = static_cast<uint32_t>(st.st_atim.tv_nsec);
  out.mtime_ns = static_cast<uint32_t>(st.st_mtim.tv_nsec);
  out.ctime_ns = static_cast<uint32_t>(st.st_ctim.tv_nsec);
  out.mode = st.st_mode;
  out.nlink = static_cast<uint32_t>(st.st_nlink);
  out.uid = st.st_uid;
  out.gid = st.st_gid;
  out.rdev = static_cast<uint32_t>(st.st_rdev);
  out.block_size = static_cast<uint32_t>(st.st_blksize);
  return out;
}

void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* info) noexcept {
  Count(request, FsCounter::kCreates);
  FuseServer& server = ServerOf(request);
  Tree& tree = server.tree;
  Node& directory = NodeOf(request, parent);
  auto created = (info->flags & O_TMPFILE) == O_TMPFILE
                     ? tree.CreateNameless(directory, mode, info->flags, CallerOf(request))
                     : tree.Create(directory, name, mode, info->flags, CallerOf(request));
  if (!created) {
    fuse_reply_err(request, created.error().number);
    return;
  }
  Node& node = *created->entry.node;
  const struct stat& st = created->entry.st;
  protocol::EntryOpenOut out{};
  out.node = IdOf(tree, node);
  out.entry_seconds = static_cast<uint64_t>(kForever);
  out.attribute_seconds = static_cast<uint64_t>(AttributeTimeout(request, node, st));
  out.attributes = AttributesOutOf(st);
  out.open = OpenOutOf(server, std::move(created->file));
  const protocol::OpenOut opened = out.open;
  if (fuse_reply_buf(request, reinterpret_cast<const char*>(&out), sizeof out) != 0) {
    Undo(server, node, opened);
    tree.Forget(node, 1);
  }
}

void Release(fuse_req_t request, fuse_ino_t id, fuse_file_info* info) noexcept {
  ServerOf(request).files.Remove(info->fh);
  TreeOf(request).Close(NodeOf(request, id));
  fuse_reply_err(request, 0);
}

// The descriptor for an operation on an open file: its own, or one opened for this call.
class FileOf {
 public:
  FileOf(fuse_req_t request, fuse_ino_t id, const fuse_file_info* info, int flags) {
    if (const FileHandle* handle = HandleOf(info); handle != nullptr) {
      number_ = handle->file.get();
      return;
    }
    auto file = TreeOf(request).Reopen(NodeOf(request, id), flags);
    if (!file) {
      error_ = file.error().number;
      return;
    }
    own_ = std::move(*file);
    number_ = own_.get();
  }
  int get() const { return number_; }
  int error() const { return error_; }

 private:
  UniqueFd own_;
  int number_ = -1, error_ = 0;
};

void Sync(fuse_req_t request, fuse_ino_t id, int only_data, fuse_file_info* info) noexcept {
  const FileHandle* handle = HandleOf(info);
  // A file that we may write to is the upper's whole one, and tells its errors by that descriptor.
  if (handle != nullptr && (::fcntl(handle->file.get(), F_GETFL) & O_ACCMODE) != O_RDONLY) {
    ReadingTurn::GiveUpMine();
    fuse_reply_err(request, NumberOf(SyncFile(handle->file.get(), only_data != 0)));
  } else {
    SyncNode(request, id, only_data != 0);
  }
}

void Allocate(fuse_req_t request, fuse_ino_t id, int mode, off_t offset, off_t length,
              fuse_file_info* info) noexcept {
  ReadingTurn::GiveUpMine();
  Count(request, FsCounter::kMutations);
  const FileOf file(request, id, info, O_RDWR);
  if (file.error() != 0)
    fuse_reply_err(request, file.error());
  else
    fuse_reply_err(request, ::fallocate(file.get(), mode, offset, length) == 0 ? 0 : errno);
}

void Seek(fuse_req_t request, fuse_ino_t id, off_t offset, int whence,
          fuse_file_info* info) noexcept {
  const FileOf file(request, id, info, O_RDONLY);
  const off_t found = file.error() != 0 ? -1 : ::lseek(file.get(), offset, whence);
  if (found < 0)
    fuse_reply_err(request, file.error() != 0 ? file.error() : errno);
  else
    fuse_reply_lseek(request, found);
}

void CopyRange(fuse_req_t request, fuse_ino_t from_id, off_t from_offset, fuse_file_info* from_info,
               fuse_ino_t to_id, off_t to_offset, fuse_file_info* to_info, size_t length,
               int flags) noexcept {
  // The kernel then copies by passthrough, and asks no more.
  if (!ServerOf(request).tree.MayShareBlocks()) {
    fuse_reply_err(request, ENOSYS);
    return;
  }
  ReadingTurn::GiveUpMine();
  Count(request, FsCounter::kMutations);
  const FileOf from(request, from_id, from_info, O_RDONLY);
  const FileOf to(request, to_id, to_info, O_WRONLY);
  if (from.error() != 0 || to.error() != 0) {
    fuse_reply_err(request, from.error() != 0 ? from.error() : to.error());
    return;
  }
  const ssize_t copied = ::copy_file_range(from.get(), &from_offset, to.get(), &to_offset, length,
                                           static_cast<unsigned>(flags));
  if (copied < 0)
    fuse_reply_err(request, errno);
  else
    fuse_reply_write(request, static_cast<size_t>(copied));
}

void Read(fuse_req_t request, fuse_ino_t, size_t size, off_t offset,
          fuse_file_info* info) noexcept {
  ReadingTurn::GiveUpMine();
  Count(request, FsCounter::kReads);
  const FileHandle* handle = HandleOf(info);
  if (handle == nullptr) {  // the kernel reads passthrough files by itself
    fuse_reply_err(request, EIO);
    return;
  }
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  const ssize_t got = ::pread(handle->file.get(), buffer.get(), size, offset);
  if (got < 0)
    fuse_reply_err(request, errno);
  else
    fuse_reply_buf(request, buffer.get(), static_cast<size_t>(got));
}

void Write(fuse_req_t request, fuse_ino_t, const char* data, size_t size, off_t offset,
           fuse_file_info* info) noexcept {
  ReadingTurn::GiveUpMine();
  Count(request, FsCounter::kWrites);
  const FileHandle* handle = HandleOf(info);
  if (handle == nullptr) {
    fuse_reply_err(request, EIO);
    return;
  }
  const ssize_t written = ::pwrite(handle->file.get(), data, size, offset);
  if (written < 0)
    fuse_reply_err(request, errno);
  else
    fuse_reply_write(request, static_cast<size_t>(written));
}

void Control(fuse_req_t request, fuse_ino_t, unsigned, void*, fuse_file_info*, unsigned,
             const void*, size_t, size_t) noexcept {
  fuse_reply_err(request, ENOTTY);
}

}  // namespace

void AddFileOperations(fuse_lowlevel_ops* operations) {
  operations->open = Open;
  operations->create = Create;
  operations->release = Release;
  operations->fsync = Sync;
  operations->fallocate = Allocate;
  operations->lseek = Seek;
  operations->copy_file_range = CopyRange;
  operations->read = Read;
  operations->write = Write;
  operations->ioctl = Control;
}

}  // namespace bailey::fs
