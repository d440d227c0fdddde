// CopyUp: moves what a lower layer has into the upper before it is changed. The copy is made in the
// work area with everything that it must keep (owner, mode, times, attributes, st_ino) and appears
// by one rename. Of a regular file, a change of its attributes moves the attributes only
// (overlayfs' metacopy); its data follow, into the same file, when they are about to change.
// Thread-safe; the caller holds no lock. docs/DESIGN.md, "fs: locks and lifetimes".
#pragma once

#include <array>
#include <functional>
#include <mutex>
#include <shared_mutex>

#include "base/counters.h"
#include "fs/backing.h"
#include "fs/completion.h"
#include "fs/link_index.h"
#include "fs/locator.h"
#include "fs/node_table.h"
#include "fs/resolver.h"
#include "fs/work_area.h"

namespace bailey::fs {

class CopyUp {
 public:
  // What the caller is about to do with the file: change its attributes or names, write to its
  // data, or truncate it to nothing.
  enum class Data { kUntouched, kWanted, kDropped };
  struct Parts {
    std::shared_mutex& tree_lock;
    const LayerSet& layers;
    NodeTable& table;
    DirectoryFds& fds;
    Locator& locator;
    InodeNumbers& numbers;
    WorkArea& work;
    Backings& backings;
    LinkIndex& links;
    Completion& completion;
    CounterPage<FsCounter>& counters;
    const std::function<void(const Node&)>& on_succession;  // called without a lock held
  };
  explicit CopyUp(const Parts& parts) : at_(parts) {}

  // After it, node.Current() lies in the upper, and so do all directories above it. EROFS without
  // an upper.
  Done Ensure(Node& node, Data data = Data::kWanted);
  // The same, and the tree lock, shared; nobody copies the node's data meanwhile.
  Answer<std::shared_lock<std::shared_mutex>> LockToChange(Node& node, Data data);

 private:
  struct Source;
  static bool IsReady(Node& node, Data data);
  Answer<Source> OpenSource(Node& node, Data data);
  bool MayLeaveData(Node& node, const Place& place);
  Done CopyFile(Node& node, Data data);
  Done CopyDirectory(Node& node);
  Answer<UniqueFd> MakeCopy(const Source& source, const std::string& name, Data data);
  Done Dress(const Node& node, const Source& source, const std::string& name);
  Done Mark(const std::string& name, const char* mark, const std::string& value);
  Done CommitFile(Node& node, Source& source, UniqueFd copy, WorkItem& item);
  Done MoveIntoTree(Node& node, WorkItem& item);
  Done Appear(Node& node, const Source& source, WorkItem& item);
  Done Complete(Node& node, Data data);
  Done CommitData(Node& node, UniqueFd file, UniqueFd lower);
  void Succeed(Node& node, UniqueFd lower, UniqueFd file);
  std::mutex& MutexOf(const Node& node);

  Parts at_;
  std::array<std::mutex, 64> mutexes_;  // before the tree lock
};

// Marks the upper part of a directory as having entries whose number or data are not their own.
// The tree lock is held exclusively.
Done MarkImpure(Node& directory, DirectoryFds& fds);

}  // namespace bailey::fs
