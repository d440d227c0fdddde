// DirectoryFds: descriptors of directories in the layers, the most recently used ones kept open.
// They follow their directory through renames. Thread-safe; a descriptor handed out stays open
// while its holder keeps it, whatever the cache does meanwhile.
#pragma once

#include <list>
#include <mutex>

#include "fs/answer.h"
#include "fs/node.h"

namespace bailey::fs {

class DirectoryFds {
 public:
  DirectoryFds(const LayerSet& layers, size_t capacity) : layers_(layers), capacity_(capacity) {}

  // The tree lock is held, shared at least: the upper part is found by the names above it.
  Answer<SharedFd> Upper(Node& directory);
  Answer<SharedFd> Lower(LowerPart& part);
  // The topmost part.
  Answer<SharedFd> Top(Node& directory);

  // A descriptor that somebody has opened anyway.
  void Offer(CachedFd& slot, UniqueFd fd);
  // Before a node is destroyed.
  void Drop(Node& node);

 private:
  SharedFd Cached(CachedFd& slot);
  SharedFd Keep(CachedFd& slot, UniqueFd fd);
  void DropSlot(CachedFd& slot);

  const LayerSet& layers_;
  const size_t capacity_;
  std::mutex mutex_;             // leaf
  std::list<CachedFd*> recent_;  // most recently used first
};

}  // namespace bailey::fs
