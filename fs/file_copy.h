// Copies of one file for copy-up: its data, its attributes, its owner, mode and times.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "fs/answer.h"

namespace bailey::fs {

// The data of `from` into the empty file `to`: shared (FICLONE) where the file system can, else
// copied in the kernel; holes stay holes. Returns the bytes copied.
Answer<uint64_t> CopyData(int from, int to, off_t size);

// Extended attributes of the entry `name` of `from` to the entry `to_name` of `to`, except
// overlayfs' own and ours. Both are looked at without following symlinks. Changes the thread's
// working directory.
Done CopyAttributes(int from, const std::string& name, int to, const std::string& to_name);

// Mode and times of `st` for the entry `name` of `directory`. Order of a copy: data, owner,
// attributes, this: each would spoil the next one's work otherwise (a chown takes setuid and
// security.capability away, an ACL changes the mode).
Done CopyIdentity(const struct stat& st, int directory, const std::string& name);

// chmod that keeps setgid whatever the group: who asked for it was judged by the kernel already.
Done ChangeMode(int directory, const char* name, mode_t mode, int flags);

}  // namespace bailey::fs
