#include <memory>
#include <optional>

#include "fs/fuse_ops_files.h"
#include "fs/fuse_reply.h"

namespace bailey::fs {
namespace {

DirectoryHandle& HandleOfDirectory(const fuse_file_info* info) {
  return *HandleSet<DirectoryHandle>::Of(info->fh);
}

void OpenDirectory(fuse_req_t request, fuse_ino_t, fuse_file_info* info) noexcept {
  Count(request, FsCounter::kOpens);
  auto& directories = ServerOf(request).directories;
  info->fh = directories.Add(std::make_unique<DirectoryHandle>());
  info->cache_readdir = 1;
  info->keep_cache = 1;
  const uint64_t handle = info->fh;
  if (fuse_reply_open(request, info) != 0) directories.Remove(handle);
}

void ReleaseDirectory(fuse_req_t request, fuse_ino_t, fuse_file_info* info) noexcept {
  ServerOf(request).directories.Remove(info->fh);
  fuse_reply_err(request, 0);
}

// Adds one entry; false when the buffer is full.
bool AddPlain(fuse_req_t request, char* buffer, size_t room, const DirectoryListing::Item& item,
              off_t next, size_t* used) {
  struct stat st {};
  st.st_ino = item.number;
  st.st_mode = item.type;
  *used = fuse_add_direntry(request, buffer, room, std::string(item.name).c_str(), &st, next);
  return *used <= room;
}

bool AddWithAttributes(fuse_req_t request, Node& directory, char* buffer, size_t room,
                       const DirectoryListing::Item& item, off_t next, size_t* used) {
  const std::string name(item.name);
  fuse_entry_param out{};
  out.attr.st_ino = item.number;
  out.attr.st_mode = item.type;
  Tree& tree = TreeOf(request);
  const bool is_dot = name == "." || name == "..";
  *used = fuse_add_direntry_plus(request, nullptr, 0, name.c_str(), &out, next);
  if (*used > room) return false;
  if (!is_dot) {
    // An entry that is gone by now, or cannot be read, is named without being looked up.
    if (const auto entry = tree.LookUp(directory, name)) out = EntryOf(request, *entry);
  }
  *used = fuse_add_direntry_plus(request, buffer, room, name.c_str(), &out, next);
  return true;
}

// Its names as they are now, for as long as there is room for them.
Done ReadListing(fuse_req_t request, Node& directory, DirectoryHandle& handle) {
  handle.listing.reset();
  handle.share = {};
  auto listing = TreeOf(request).List(directory);
  if (!listing) return listing.error();
  auto share = ServerOf(request).listings.Take(listing->bytes());
  if (!share) return Refuse(ENOMEM);
  handle.listing = std::move(*listing);
  handle.share = std::move(*share);
  return {};
}

void ReadNames(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
               const fuse_file_info* info, bool with_attributes) {
  Count(request, FsCounter::kReaddirs);
  DirectoryHandle& handle = HandleOfDirectory(info);
  Node& directory = NodeOf(request, id);
  if (offset == 0 || !handle.listing) {
    if (const Done read = ReadListing(request, directory, handle); !read)
      return ReplyDone(request, read);
  }
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  size_t filled = 0;
  for (auto at = static_cast<size_t>(offset); at < handle.listing->size(); ++at) {
    const DirectoryListing::Item item = (*handle.listing)[at];
    const auto next = static_cast<off_t>(at + 1);
    size_t used = 0;
    const bool fits = with_attributes ? AddWithAttributes(request, directory, buffer.get() + filled,
                                                          size - filled, item, next, &used)
                                      : AddPlain(request, buffer.get() + filled, size - filled,
                                                 item, next, &used);
    if (!fits) break;
    filled += used;
  }
  fuse_reply_buf(request, buffer.get(), filled);
}

void ReadDirectory(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
                   fuse_file_info* info) noexcept {
  ReadNames(request, id, size, offset, info, false);
}
void ReadDirectoryPlus(fuse_req_t request, fuse_ino_t id, size_t size, off_t offset,
                       fuse_file_info* info) noexcept {
  ReadNames(request, id, size, offset, info, true);
}

void SyncDirectory(fuse_req_t request, fuse_ino_t id, int only_data, fuse_file_info*) noexcept {
  SyncNode(request, id, only_data != 0);
}

}  // namespace

void AddDirectoryOperations(fuse_lowlevel_ops* operations) {
  operations->opendir = OpenDirectory;
  operations->releasedir = ReleaseDirectory;
  operations->readdir = ReadDirectory;
  operations->readdirplus = ReadDirectoryPlus;
  operations->fsyncdir = SyncDirectory;
}

}  // namespace bailey::fs
