// Newcomer: a new file, directory, symlink, fifo or socket, as the caller of a request would have
// made it: owner, group (inherited from setgid directories), umask and default ACLs. Made in place
// where the name is free, and by way of the work area where a whiteout must be replaced at once.
#pragma once

#include <sys/stat.h>

#include <string>

#include "fs/answer.h"
#include "fs/work_area.h"

namespace bailey::fs {

// Who asks, in the ids that the disk holds (the kernel has translated them).
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t umask = 0;
};

struct NewcomerSpec {
  mode_t mode = 0;      // with the type
  std::string target;   // of a symlink
  bool opaque = false;  // a directory that replaces a whiteout: hides what the whiteout hid
};

struct Newcomer {
  struct stat st {};
  UniqueFd file;  // of a regular file, opened O_RDWR
};

// EEXIST when something other than a whiteout is there. `parent` is a directory of the upper.
Answer<Newcomer> MakeNewcomer(WorkArea& work, int parent, const std::string& name,
                              const NewcomerSpec& spec, const Caller& caller);

// A regular file without a name in the tree (O_TMPFILE): it is at `work_name` of the work area,
// maybe after a failure, too.
Answer<Newcomer> MakeNameless(WorkArea& work, int parent, mode_t mode, const Caller& caller,
                              const std::string& work_name);

}  // namespace bailey::fs
