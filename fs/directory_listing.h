// DirectoryListing: the names of a directory over all its layers, read at once, so that an open
// directory shows one state whatever changes while it is read. Immutable once made.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fs/inode_numbers.h"
#include "fs/projection.h"
#include "fs/resolver.h"

namespace bailey::fs {

class DirectoryListing {
 public:
  struct Item {
    std::string_view name;
    uint64_t number;
    mode_t type;  // S_IFMT bits
  };
  struct Sources {
    DirectoryFds& fds;
    Resolver& resolver;
    InodeNumbers& numbers;
    const Projection& projection;
  };
  // "." and ".." come first. The tree lock is held, shared at least.
  static Answer<DirectoryListing> Read(Node& directory, const Sources& sources);

  size_t size() const { return items_.size(); }
  bool empty() const { return items_.size() <= 2; }
  Item operator[](size_t index) const;
  size_t bytes() const { return text_.capacity() + items_.capacity() * sizeof(Stored); }

 private:
  struct Stored {
    uint32_t start, length;
    uint64_t number;
    mode_t type;
  };
  struct Builder;
  std::string text_;  // all names, one after the other
  std::vector<Stored> items_;
};

}  // namespace bailey::fs
