// Node: an inode of the tenant's root, as long as the kernel knows it (or a node below it).
// A node holds no descriptor: it says where its file is, by parent and name in the upper, by layer
// and path in the lowers. docs/DESIGN.md, "fs: locks and lifetimes", says who may touch what.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "fs/completion.h"
#include "fs/layer_set.h"

namespace bailey::fs {

struct Node;
struct LinkEntry;

using SharedFd = std::shared_ptr<const UniqueFd>;

// A directory's descriptor, while the cache holds it (fs/directory_fds.h; guarded by its mutex).
struct CachedFd {
  SharedFd fd;
  std::list<CachedFd*>::iterator place;
};

// One lower directory that a merged directory shows. Fixed for life: lowers never change.
struct LowerPart {
  LowerPart(LayerIndex layer_index, std::string layer_path)
      : layer(layer_index), path(std::move(layer_path)) {}
  LayerIndex layer;
  std::string path;  // within the layer; "" is its root. Below PATH_MAX: every node has its own
  CachedFd fd;
};

// What only directories have. The upper part lies at the node's own place in the tree.
struct Directory {
  CachedFd upper_fd;
  // Where it is as the layers below the upper show it: what a redirect must say. Of merged
  // directories only; fixed for life.
  std::string path_below;
  std::vector<std::unique_ptr<LowerPart>> lowers;  // topmost first
  enum class Purity : uint8_t { kUnknown, kPure, kImpure };
  std::atomic<Purity> purity = Purity::kUnknown;  // of the upper part: kOwnImpureMark
};

// Where the data of a file are that has only its attributes in a higher layer (metacopy).
struct DataPart {
  LayerIndex layer;
  std::string path;
  blkcnt_t blocks = 0;     // what st_blocks shows
  std::string path_below;  // as the layers below the upper show it: what a redirect must say
};

// The file that the kernel reads and writes by itself (fs/backing.h; guarded by its mutex).
struct Backing {
  int32_t id = 0;      // 0: none registered
  uint32_t opens = 0;  // of the kernel, through `id`
  bool idle = false;   // in the list of ids kept for the next open
  std::list<Node*>::iterator idle_place;
};

// A place in the tree: where a node is found in the upper, and by which it is looked up.
struct Name {
  Node* parent = nullptr;
  std::string text;
  Node* node = nullptr;
};

struct Node {
  // Set when made, never changed.
  mode_t type = 0;  // S_IFMT bits
  std::unique_ptr<Directory> directory;

  std::atomic<bool> incomplete = false;  // `data` is set
  std::atomic<bool> completing = false;  // `settled` is set

  // Changed under the tree lock held exclusively.
  Name at;
  std::vector<std::unique_ptr<Name>> other_names;  // known hard links
  std::atomic<uint64_t> number = 0;                // st_ino
  std::atomic<bool> in_upper = false;              // never goes back
  LayerIndex layer = kUpperLayer;  // not a directory and not in the upper: the lower that has it
  std::unique_ptr<DataPart> data;  // its data are not where its attributes are
  // While the data of an incomplete file of the upper are copied into it: its attributes, which
  // the copying spoils and then restores. Nobody may change them meanwhile.
  std::unique_ptr<Settled> settled;
  // Of a hard link that a lower has, once it is copied up: there the file is, whatever its names.
  LinkEntry* index_entry = nullptr;
  bool has_origin = false;         // carries kOriginMark on disk
  std::atomic<bool> gone = false;  // no name leads here any more; `kept` is the file, if wanted
  UniqueFd kept;                   // the file itself, when no path leads to what handles refer to
  std::string work_name;           // O_TMPFILE: its name in the work area until it is linked
  // After a copy-up while the lower file was open: the node that the name leads to from now on.
  // This one serves what is open already.
  std::atomic<Node*> successor = nullptr;
  bool is_successor = false;  // whose metadata what is open of the predecessor asks for

  std::atomic<bool> written = false;   // opened for writing, or truncated, since it is a node
  std::atomic<bool> mappable = false;  // opened O_RDWR: MAP_SHARED stores come unannounced
  std::atomic<bool> no_passthrough = false;
  std::atomic<uint32_t> handles = 0;  // open files of ours, passthrough or not

  // Of a file of the upper: it has no security.capability, which the kernel asks for before a
  // write and each chown. The bits above the first count how often it was set.
  std::atomic<uint32_t> lacks_capability = 0;

  Backing backing;

  // NodeTable's, under its mutex.
  uint64_t lookups = 0;     // the kernel's
  uint32_t references = 0;  // nodes below, predecessors, and operations under way
  // Key in the table of hard links, number 0: not in it. Of the upper, or, with kLowerLinks, of a
  // lower, and then it stays when the file is copied up.
  uint64_t link_device = 0, link_number = 0;
  static constexpr uint64_t kLowerLinks = uint64_t{1} << 63;

  bool is_directory() const { return S_ISDIR(type); }
  bool is_lower_link() const { return link_number != 0 && (link_device & kLowerLinks) != 0; }
  // Whom metadata is asked of and written to.
  Node& Current() {
    Node* node = this;
    while (Node* next = node->successor) node = next;
    return *node;
  }
};

}  // namespace bailey::fs
