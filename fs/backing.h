// Backings: the files that the kernel reads and writes by itself (FUSE passthrough), by backing id.
// A node has one id at a time, made at its first open and kept for later ones: a second id for an
// inode in use would be refused by the kernel with EIO. The kernel holds the file; we keep no
// descriptor. Ids of closed files are kept too, the most recently closed ones. Thread-safe.
#pragma once

#include <atomic>
#include <list>
#include <mutex>

#include "fs/answer.h"
#include "fs/node.h"

namespace bailey::fs {

class Backings {
 public:
  // `device` is /dev/fuse; registering needs CAP_SYS_ADMIN in the first user namespace.
  explicit Backings(int device) : device_(device) {}

  // The id of a node that has one, counted as one more open; 0 if it has none.
  int32_t Reuse(Node& node);
  // Makes `file` the node's backing unless it has one by now, and counts an open. 0 when the
  // kernel cannot pass this file through (its file system is stacked too deep, or is no host of
  // passthrough at all): it is then to be served by read and write, for as long as the node lives.
  int32_t Register(Node& node, int file);
  void Close(Node& node);
  bool InUse(const Node& node);
  // The id of a file that is not open goes: its disk space could not be freed, or the node is
  // about to lie elsewhere. One in use goes at its last close.
  void Retire(Node& node);
  // The connection has ended, and all ids with it: nothing is told to the kernel any more.
  void Abandon() { device_ = -1; }

 private:
  void CloseId(int32_t id);
  int32_t TakeIdle(Node& node);  // the id, to be closed without the lock

  std::atomic<int> device_;
  std::mutex mutex_;       // leaf
  std::list<Node*> idle_;  // most recently closed first
};

}  // namespace bailey::fs
