// MachineServer: serves the files of a MachineView over a connection to the kernel of its own,
// apart from the tenant's root: a reader of /proc/meminfo waits neither for its disk nor for its
// lock. It speaks the few messages that read-only files need by itself (linux/fuse.h); everything
// else is ENOSYS. Each file is computed at the first read of an open descriptor, and again at each
// read from its start, unless that was less than 10 ms ago. Not thread-safe: the thread that waits
// for the end of the server runs it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/machine_view.h"

namespace bailey::fs {

class MachineServer {
 public:
  // `device`: /dev/fuse of a mount of its own that nobody has answered yet.
  static Result<std::unique_ptr<MachineServer>> Make(UniqueFd device, MachineView view);

  // -1 once the connection has ended.
  int device() const { return device_.get(); }
  // Milliseconds for poll(2); -1: no hurry.
  int Patience() const;
  // Answers what is waiting, and samples what is due.
  void Run();

 private:
  struct Request;
  struct Snapshot {
    uint64_t handle = 0;  // 0: none
    std::string text;
  };

  MachineServer(UniqueFd device, MachineView view)
      : device_(std::move(device)), view_(std::move(view)), buffer_(kBuffer) {}
  bool AnswerOne();
  void Answer(const Request& request);
  void Lookup(const Request& request);
  void Read(const Request& request);
  Snapshot& SnapshotOf(uint64_t handle);
  Result<std::string> TextOf(size_t file);
  void Reply(const Request& request, const void* body, size_t size) const;
  void Refuse(const Request& request, int error) const;

  static constexpr size_t kBuffer = 8192;  // the kernel's least (FUSE_MIN_READ_BUFFER)

  UniqueFd device_;
  MachineView view_;
  std::vector<char> buffer_;
  uint64_t last_handle_ = 0;
  // Of the descriptors that read last: whoever reads in pieces gets pieces of one text. A tenant
  // that reads more files at once than this gets pieces of several; nobody keeps memory of ours.
  std::array<Snapshot, 8> snapshots_;
  size_t next_ = 0;
  // A loop of reads costs the reading of the host's files no more often than this.
  static constexpr std::chrono::milliseconds kFresh{10};
  struct Computed {
    std::chrono::steady_clock::time_point at;
    std::string text;  // empty: none
  };
  std::array<Computed, MachineView::kFiles.size()> computed_;
};

}  // namespace bailey::fs
