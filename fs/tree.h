// Tree: the tenant's root as one file system over its layers. Nodes in, answers out; it knows
// nothing of libfuse and little of the FUSE protocol. Thread-safe: docs/DESIGN.md, "fs: locks and
// lifetimes". What every operation takes and refuses is what its system call does (see *(2)).
#pragma once

#include <sys/statvfs.h>

#include <functional>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/counters.h"
#include "fs/backing.h"
#include "fs/copy_up.h"
#include "fs/directory_listing.h"
#include "fs/newcomer.h"
#include "fs/node_table.h"
#include "fs/projection.h"
#include "fs/resolver.h"
#include "fs/work_area.h"

namespace bailey::fs {

// A node as shown to the kernel, which has looked it up once more.
struct Entry {
  Node* node = nullptr;
  struct stat st {};
};

// An open file. With a backing id the kernel does the I/O; without, it comes to `file`.
struct OpenFile {
  int32_t backing_id = 0;
  UniqueFd file;
};

struct Attributes {  // what SetAttributes changes
  enum : unsigned { kMode = 1, kUid = 2, kGid = 4, kSize = 8, kTimes = 16, kOfOpenFile = 32 };
  unsigned valid = 0;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  off_t size = 0;
  timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};  // access, modification
};

class Tree {
 public:
  struct Options {
    LayerSet layers;
    WorkArea work;
    Projection projection;
    int fuse_device = -1;
    size_t cached_directories = 256;
    CounterPage<FsCounter>* counters = nullptr;
  };
  explicit Tree(Options options);
  // Reads the root; before anything else.
  Done Open();
  // `told` is called, without a lock held, when a node has got a successor: what the kernel holds
  // of its attributes is true no more. Before the first request.
  void OnSuccession(std::function<void(const Node&)> told) { on_succession_ = std::move(told); }

  // The connection has ended: before whatever held /dev/fuse open goes.
  void Abandon() { backings_.Abandon(); }

  Node& root() { return table_.root(); }
  CounterPage<FsCounter>& counters() { return counters_; }

  // tree_lookup.cc
  Answer<Entry> LookUp(Node& parent, const std::string& name);
  void Forget(Node& node, uint64_t lookups) { table_.Forget(node, lookups); }
  Answer<struct stat> Stat(Node& node);
  Answer<std::string> ReadLink(Node& node);
  Answer<DirectoryListing> List(Node& directory);
  Answer<struct statvfs> StatFs();
  // Copying a range within the upper may be cheaper than reading and writing it.
  bool MayShareBlocks() const { return may_share_blocks_; }
  // The kernel must ask for the attributes each time.
  bool IsVolatile(Node& node, const struct stat& st) const;

  // tree_files.cc
  Answer<OpenFile> OpenNode(Node& node, int flags);
  void Close(Node& node);
  // The file for an operation on an open file that the kernel does not do by itself.
  Answer<UniqueFd> Reopen(Node& node, int flags);
  // The file that fsync must make last: without its data, or the successor's, it is not the one
  // that is read. None while a lower has it: nothing of it is ours to write.
  Answer<UniqueFd> OpenToSync(Node& node);
  struct Created {
    Entry entry;
    OpenFile file;
  };
  Answer<Created> Create(Node& parent, const std::string& name, mode_t mode, int flags,
                         const Caller& caller);
  Answer<Created> CreateNameless(Node& parent, mode_t mode, int flags, const Caller& caller);

  // tree_attributes.cc
  Answer<struct stat> SetAttributes(Node& node, const Attributes& change, int file);
  Answer<std::string> GetAttribute(Node& node, const std::string& name);
  // `keep_setgid`: an access ACL leaves the file's setgid bit (the caller may set it).
  Done SetAttribute(Node& node, const std::string& name, std::string_view value, int flags,
                    bool keep_setgid);
  Answer<std::string> ListAttributes(Node& node);  // names, each with its NUL
  Done RemoveAttribute(Node& node, const std::string& name);

  // tree_names.cc
  Answer<Entry> Make(Node& parent, const std::string& name, const NewcomerSpec& spec,
                     const Caller& caller);
  Answer<Entry> Link(Node& node, Node& parent, const std::string& name);
  Done Unlink(Node& parent, const std::string& name);
  Done RemoveDirectory(Node& parent, const std::string& name);

  // tree_rename.cc
  Done Rename(Node& from, const std::string& old_name, Node& to, const std::string& new_name,
              unsigned flags);

 private:
  struct Move;

  struct stat Shown(const Node& node, struct stat st) const;
  Answer<Entry> Known(Node& node);
  // Counted as one more lookup.
  Node* NodeOf(Found& found, Node& parent, const std::string& name);
  Node* NodeOfNewcomer(const struct stat& st, Node& parent, const std::string& name);
  // The node at a name, pinned; ENOENT if there is none. The tree lock is held.
  Answer<Node*> PinChild(Node& parent, const std::string& name);
  Refusal Deny(int number);
  Done MayCreate(Node& parent, const std::string& name);
  int32_t Passthrough(Node& node, int file);
  Answer<OpenFile> FinishOpen(Node& node, int flags, UniqueFd file);
  Answer<bool> IsEmptyDirectory(Node& directory);
  Done UnlinkLocked(Node& child, Node& parent, const std::string& name);
  bool IsToBeCopiedUp(const Node& child) const;
  Done GiveName(Node& file, Node& parent, const std::string& name);
  void NameRemoved(Node& child, Node& parent, const std::string& name, UniqueFd kept);
  UniqueFd KeepIfNeeded(Node& child);
  Done PrepareToShow(Node& file, Node& directory);
  Done LinkIntoTree(Node& source, int parent, const std::string& name);
  Done ApplyAttributes(Node& node, const Attributes& change, int file);

  Done PrepareToMove(Node& node, Node& to);
  Done RenameLocked(Move& move);
  Done Exchange(Move& move);
  Done MoveFile(Move& move, bool whiteout);
  Done MoveDirectory(Move& move, bool whiteout);
  Done EmptyTarget(Move& move);
  Done CheckMove(Move& move, unsigned flags);

  LayerSet layers_;
  WorkArea work_;
  Projection projection_;
  std::unique_ptr<CounterPage<FsCounter>> own_counters_;
  CounterPage<FsCounter>& counters_;
  std::shared_mutex tree_lock_;
  InodeNumbers numbers_;
  DirectoryFds fds_;
  Backings backings_;
  NodeTable table_;
  Locator locator_;
  Completion completion_;
  LinkIndex links_;
  Resolver resolver_;
  std::function<void(const Node&)> on_succession_;
  bool may_share_blocks_ = true;
  CopyUp copy_up_;
};

}  // namespace bailey::fs
