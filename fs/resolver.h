// Resolver: what lies at a name below a directory, over all layers: the topmost file, or the
// directories of all layers merged, minus what whiteouts and opaque directories hide. Follows
// redirects. Thread-safe; the tree lock is held, shared at least.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/completion.h"
#include "fs/directory_fds.h"
#include "fs/inode_numbers.h"
#include "fs/link_index.h"
#include "fs/node.h"
#include "fs/projection.h"

namespace bailey::fs {

struct Found {
  struct stat st {};    // of the topmost part, as on disk
  uint64_t number = 0;  // the st_ino to show
  bool in_upper = false;
  LayerIndex layer = kUpperLayer;  // of a file that is not in the upper
  bool has_origin = false;
  std::vector<std::unique_ptr<LowerPart>> lowers;  // of a directory
  std::string path_below;                          // of a directory; see Directory
  std::unique_ptr<DataPart> data;                  // of a file; see DataPart
  std::optional<LinkKey> link;                     // of one of several hard links of a lower
  LinkEntry* index_entry = nullptr;                // and where it is if it is copied up
};

class Resolver {
 public:
  Resolver(const LayerSet& layers, const Projection& projection, DirectoryFds& fds,
           InodeNumbers& numbers, LinkIndex& links, Completion& completion)
      : layers_(layers),
        projection_(projection),
        fds_(fds),
        numbers_(numbers),
        links_(links),
        completion_(completion) {}

  // ENOENT when nothing is visible there.
  Answer<Found> Resolve(Node& parent, const std::string& name);
  // Something in the lower layers would show at this name if the upper had nothing.
  Answer<bool> LowerHas(Node& parent, const std::string& name);
  // The upper part of `directory` may have entries whose number is not their own.
  bool IsImpure(Node& directory);

  struct Walk;  // internal
  class Marks;  // internal

 private:
  Done LookInUpper(Walk& walk);
  Done LookInLowers(Walk& walk);
  Done LookByRedirect(Walk& walk, LayerIndex from);
  Answer<bool> LookAtPath(Walk& walk, LayerIndex layer);
  // Judges one entry; true: nothing below it counts any more.
  Answer<bool> Take(Walk& walk, LayerIndex layer, int directory, const std::string& name,
                    std::string path);
  Answer<bool> TakeDirectory(Walk& walk, LayerIndex layer, int directory, const std::string& name);
  Answer<bool> TakeFile(Walk& walk, LayerIndex layer, int directory, const std::string& name,
                        const struct stat& st, std::string path);
  Done TakeLowerLink(Walk& walk, LayerIndex layer, int directory, const std::string& name,
                     const struct stat& st);
  Answer<bool> IsIncomplete(Marks& marks, struct stat& st);
  Answer<bool> LacksData(Walk& walk, LayerIndex layer, Marks& marks, const struct stat& st);
  Answer<std::optional<uint64_t>> OriginOf(const Walk& walk, Marks& marks);

  const LayerSet& layers_;
  const Projection& projection_;
  DirectoryFds& fds_;
  InodeNumbers& numbers_;
  LinkIndex& links_;
  Completion& completion_;
};

}  // namespace bailey::fs
