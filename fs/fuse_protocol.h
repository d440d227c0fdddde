// What of the FUSE protocol libfuse 3.14 does not speak: passthrough, and the flags of INIT that it
// knows nothing of. <linux/fuse.h> of the kernels that Bailey supports, Linux 6.12 and later.
#pragma once

#include <sys/ioctl.h>

#include <cstdint>

namespace bailey::fs::protocol {

inline constexpr uint32_t kOpcodeForget = 2, kOpcodeRelease = 18, kOpcodeSetxattr = 21,
                          kOpcodeInit = 26, kOpcodeReleasedir = 29, kOpcodeCreate = 35,
                          kOpcodeBatchForget = 42, kOpcodeTmpfile = 51;

// Flags of INIT. Those above 31 are in flags2.
inline constexpr uint32_t kParallelDirops = 1U << 18;
inline constexpr uint32_t kHandleKillprivV2 = 1U << 28;
inline constexpr uint32_t kSetxattrExt = 1U << 29;
inline constexpr uint32_t kInitExt = 1U << 30;
inline constexpr uint32_t kPassthrough2 = 1U << (37 - 32);
inline constexpr uint32_t kNoExportSupport2 = 1U << (38 - 32);
inline constexpr uint32_t kAllowIdmap2 = 1U << (40 - 32);

// Flags of an answer to OPEN, CREATE and OPENDIR.
inline constexpr uint32_t kOpenKeepCache = 1U << 1;
inline constexpr uint32_t kOpenCacheDir = 1U << 3;
inline constexpr uint32_t kOpenNoFlush = 1U << 5;
inline constexpr uint32_t kOpenPassthrough = 1U << 7;

struct InHeader {
  uint32_t length, opcode;
  uint64_t unique, node;
  uint32_t uid, gid, pid;
  uint16_t extensions, padding;
};
static_assert(sizeof(InHeader) == 40);

struct OutHeader {
  uint32_t length;
  int32_t error;
  uint64_t unique;
};
static_assert(sizeof(OutHeader) == 16);

struct InitIn {
  uint32_t major, minor, max_readahead, flags, flags2, unused[11];
};
static_assert(sizeof(InitIn) == 64);

struct InitOut {
  uint32_t major, minor, max_readahead, flags;
  uint16_t max_background, congestion_threshold;
  uint32_t max_write, time_gran;
  uint16_t max_pages, map_alignment;
  uint32_t flags2, max_stack_depth;
  uint16_t request_timeout, unused[11];
};
static_assert(sizeof(InitOut) == 64);

// With kSetxattrExt; without it, the first two words only.
struct SetxattrIn {
  uint32_t size, flags, setxattr_flags, padding;
};
inline constexpr size_t kShortSetxattrIn = 8;
inline constexpr uint32_t kAclKillSetgid = 1U << 0;  // in setxattr_flags
// Ours, beside XATTR_CREATE and XATTR_REPLACE: where libfuse leaves it in peace.
inline constexpr uint32_t kFlagKillSetgid = 1U << 30;

struct OpenOut {
  uint64_t handle;
  uint32_t flags;
  int32_t backing_id;
};
static_assert(sizeof(OpenOut) == 16);

struct AttributesOut {
  uint64_t number, size, blocks, atime, mtime, ctime;
  uint32_t atime_ns, mtime_ns, ctime_ns, mode, nlink, uid, gid, rdev, block_size, flags;
};

// The answer to CREATE.
struct EntryOpenOut {
  uint64_t node, generation, entry_seconds, attribute_seconds;
  uint32_t entry_ns, attribute_ns;
  AttributesOut attributes;
  OpenOut open;
};
static_assert(sizeof(EntryOpenOut) == 128 + 16);

struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
inline constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
inline constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

}  // namespace bailey::fs::protocol
