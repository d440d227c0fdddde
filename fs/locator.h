// Locator: where a node's file is on disk right now, as a directory and a name for the *at calls.
// Thread-safe; the tree lock is held, shared at least, for as long as the place is used.
#pragma once

#include <fcntl.h>

#include "fs/directory_fds.h"
#include "fs/node.h"

namespace bailey::fs {

struct Place {
  SharedFd holder;                  // keeps `directory` open
  int directory = -1;               // or the file itself when `name` is empty
  const char* name = "";            // the node's own
  int flags = AT_SYMLINK_NOFOLLOW;  // AT_EMPTY_PATH too when `name` is empty
  bool is_file() const { return *name == '\0'; }
};

class Locator {
 public:
  Locator(const LayerSet& layers, DirectoryFds& fds) : layers_(layers), fds_(fds) {}

  // ESTALE when no path leads there and nothing was kept open.
  Answer<Place> Locate(Node& node);
  Answer<struct stat> Stat(Node& node);
  // The file with the data, opened anew. O_NOFOLLOW and O_CLOEXEC are added. Not for files that are
  // kept when `flags` want more than those were opened with.
  Answer<UniqueFd> Open(Node& node, int flags);
  // The file with the attributes, which may lack its data.
  Answer<UniqueFd> OpenItself(Node& node, int flags);

 private:
  Answer<UniqueFd> OpenData(const DataPart& data, int flags);

  const LayerSet& layers_;
  DirectoryFds& fds_;
};

}  // namespace bailey::fs
