// DiskImage: the file that holds a limited tenant's store, an ext4 file system of exactly the
// limit's size. Whoever uses it has it locked (flock), and so does its loop device, which shares
// the open file description: it can be had again only when the last mount of it is gone, however
// its user ended. Two mounts of one image would destroy it.
//
// An image whose size is not the wanted one is in the middle of a growth (GrowMounted).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/loop_device.h"

namespace bailey::supervisor {

struct ImageState {
  uint64_t file_bytes = 0;  // the limit, once it is grown
  uint64_t fs_bytes = 0;    // what the file system says of itself
  bool clean = false;       // unmounted in good order, no error found since the last check
};

// How long to wait for an earlier user's last mount to go: writing back what was dirty.
inline constexpr std::chrono::milliseconds kAwaitImage{10'000};

class DiskImage {
 public:
  // EBUSY when somebody still uses it after `patience`; ENOENT.
  static Result<DiskImage> Open(const std::string& path, std::chrono::milliseconds patience);
  // A new one, all holes, mode 0600, in place of whatever is there.
  static Result<DiskImage> Create(const std::string& path, uint64_t bytes);

  int fd() const { return file_.get(); }
  // The limit, but for a block while it grows; 0 if it cannot be told. Reads nothing.
  uint64_t Length() const;
  // Truncates to `bytes`: more, or no less than its file system has.
  Status Resize(uint64_t bytes) const;
  // From the disk: of a mounted image it is out of date. EUCLEAN when there is no ext4 in it.
  Result<ImageState> Inspect() const;

 private:
  explicit DiskImage(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

// As Inspect(), of an image that somebody may be using; nullopt when there is none.
Result<std::optional<ImageState>> LookAtImage(const std::string& path);
// Whether PrepareStore() (store_preparation.h) has anything to do. `limit`: 0 for none.
bool NeedsPreparation(const std::string& path, uint64_t limit);
// The size of the image alone; 0 when there is none.
uint64_t ImageBytes(const std::string& path);

// ext4's superblock, which begins 1024 bytes into the image (fs/ext4/ext4.h). Pure. file_bytes
// stays 0.
inline constexpr size_t kSuperblockAt = 1024, kSuperblockSize = 1024;
Result<ImageState> ParseSuperblock(std::span<const uint8_t, kSuperblockSize> block);

}  // namespace bailey::supervisor
