// What e2fsprogs does to a disk image that is not mounted.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace bailey::supervisor {

// Below this an ext4 with a journal is mostly journal.
inline constexpr uint64_t kLeastDisk = uint64_t{16} << 20;

// An empty ext4 that fills the image at `path`. Everything in it counts: journal and inode tables
// are part of the limit, and one inode comes with every 16 KiB (4 KiB below 512 MiB). Nothing is
// left for the kernel to initialise later, and nothing is reserved for root.
Status MakeExt4(const std::string& path, uint64_t bytes);
// Replays the journal and mends what can be mended without asking. An error says what e2fsck said.
Status CheckExt4(const std::string& path, bool whole);
// Grows the file system to the image's size: for hosts that withhold CAP_SYS_RESOURCE, without
// which the kernel does not do it. Cut short, it is for CheckExt4 to mend.
Status GrowExt4(const std::string& path, uint64_t bytes);

// The programs of e2fsprogs that this host lacks, separated by blanks.
std::string MissingImageTools();

}  // namespace bailey::supervisor
