// WorkArea: the directory beside the upper where things are made before they appear: a rename puts
// them into the tree in one step, so that no crash leaves half a file. Its content is rubbish after
// a crash and is removed at start. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/answer.h"

namespace bailey::fs {

class WorkArea {
 public:
  // `work` (empty: a root without an upper) is an empty directory of the upper's file system. Takes
  // a subdirectory of it, and a lock on it: EBUSY if another server has it.
  static Result<WorkArea> Open(UniqueFd work);
  WorkArea(WorkArea&& other) noexcept
      : lock_(std::move(other.lock_)), fd_(std::move(other.fd_)), next_(other.next_.load()) {}

  int fd() const { return fd_.get(); }
  // The work directory itself, which holds the area; -1 without an upper.
  int directory() const { return lock_.get(); }
  std::string NewName();

  // A character device 0/0 at a new name of the work area.
  Answer<std::string> MakeWhiteout();
  // Puts a whiteout at `name` in `directory`, over the file that may be there. Atomic.
  Done WhiteOut(int directory, const std::string& name, bool exists);
  // The same over a directory; what it held is removed.
  Done WhiteOutDirectory(int directory, const std::string& name);
  // Removes a directory of the upper in which only whiteouts are left.
  Done RemoveDirectory(int directory, const std::string& name);
  // Removes a name of the work area, with all below it. What cannot go stays until the next start.
  void Discard(const std::string& name);

 private:
  WorkArea() = default;
  UniqueFd lock_, fd_;
  std::atomic<uint64_t> next_ = 0;
};

// A name of the work area that is discarded unless it was moved into the tree.
class [[nodiscard]] WorkItem {
 public:
  WorkItem(WorkArea& area, std::string name) : area_(area), name_(std::move(name)) {}
  WorkItem(const WorkItem&) = delete;
  WorkItem& operator=(const WorkItem&) = delete;
  ~WorkItem() {
    if (!name_.empty()) area_.Discard(name_);
  }
  const std::string& name() const { return name_; }
  const char* c_str() const { return name_.c_str(); }
  int fd() const { return area_.fd(); }
  // renameat2 to its place; `flags` as there. With RENAME_EXCHANGE, what was there is discarded.
  Done MoveTo(int directory, const std::string& name, unsigned flags = 0);
  // The name, which somebody else discards from now on.
  std::string Release() { return std::exchange(name_, {}); }

 private:
  WorkArea& area_;
  std::string name_;
};

}  // namespace bailey::fs
