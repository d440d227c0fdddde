// LoopDevice: a file as a block device. It is set up in one step (LOOP_CONFIGURE) and goes away by
// itself when nobody has it open or mounted any more (autoclear): a crash leaves none behind.
// Reads and writes go past the page cache, so that a tenant's pages are in memory once, and what
// the file system on it discards becomes holes in the file. loop(4).
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

inline constexpr unsigned kImageBlock = 4096;  // bytes; of the device and of the file system on it

struct LoopDevice {
  UniqueFd fd;
  std::string path;        // "/dev/loop7"
  bool direct_io = false;  // false where the file system below the file cannot
};

// `file` is open for reading and writing; the device shares its open file description, and with it
// any flock(2) that is held. EBUSY if others take every free device first.
Result<LoopDevice> AttachLoop(int file);
// After the file has become longer or shorter. LOOP_SET_CAPACITY.
Status FollowFileSize(const LoopDevice& loop);

}  // namespace bailey::supervisor
