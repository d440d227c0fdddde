// Files by descriptor: opening beneath a directory, and reading and writing small files whole.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

// Opens `path` below `root`; symlinks and ".." cannot leave it (openat2 RESOLVE_BENEATH and
// RESOLVE_NO_MAGICLINKS). O_CLOEXEC is added. Errors: openat2(2); EXDEV when it tries to escape.
Result<UniqueFd> OpenBeneath(int root, const std::string& path, int flags, mode_t mode = 0);
// As above, and no component at all may be a symlink (ELOOP).
Result<UniqueFd> OpenBeneathNoSymlinks(int root, const std::string& path, int flags,
                                       mode_t mode = 0);
// open(2) of a trusted path of the host's, with O_CLOEXEC.
Result<UniqueFd> OpenPath(const std::string& path, int flags, mode_t mode = 0);

// The whole of a small file; EFBIG above `limit` bytes.
Result<std::string> ReadFile(const std::string& path, size_t limit = 1 << 20);
Result<std::string> ReadAll(int fd, size_t limit = 1 << 20);
// One write(2) of all of `text`, as /proc, /sys and cgroup files want it.
Status WriteControl(const std::string& path, std::string_view text);
Status WriteControlAt(int dir, const std::string& name, std::string_view text);
// Writes until everything is written; for pipes and ordinary files.
Status WriteAll(int fd, std::string_view text);
// A memfd of this text, at its start, that nobody can change any more. `name` is for /proc only;
// `flags` are further ones of memfd_create(2).
Result<UniqueFd> SealedText(const char* name, std::string_view text, unsigned flags = 0);
// Replaces the file atomically: temporary beside it, fsync, rename.
Status ReplaceFile(const std::string& path, std::string_view text, mode_t mode);
// mkdir -p for trusted paths of the host's.
Status MakeDirectories(const std::string& path, mode_t mode);

}  // namespace bailey
