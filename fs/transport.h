// Transport: how requests come from the kernel and answers go back: here over /dev/fuse, with a few
// reader threads. It owns the libfuse session and says in INIT what libfuse 3.14 cannot.
// Order: Make, StartReaders, (walls that bind all threads), Serve, Wait.
#pragma once

#include <fuse3/fuse_lowlevel.h>
#include <sys/uio.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "base/counters.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/reading_turn.h"

namespace bailey::fs {

class Transport {
 public:
  struct Options {
    UniqueFd device;       // /dev/fuse of a mount that nobody has answered yet
    void* user = nullptr;  // for the operations: Transport::UserOf
    unsigned readers = 4;
    std::function<void()> on_ready;  // INIT is answered: called once, on a reader's thread
    CounterPage<FsCounter>* counters = nullptr;
  };
  static Result<std::unique_ptr<Transport>> Make(const fuse_lowlevel_ops& operations,
                                                 Options options);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  static void* UserOf(fuse_req_t request);

  // The threads exist and have their own working directory and umask, but read nothing yet.
  Status StartReaders();
  void Serve();
  // The kernel asks for the attributes anew. Any thread, also while it answers a request: the
  // kernel takes no lock of the inode for it and touches none of its pages.
  void InvalidateAttributes(fuse_ino_t id);
  // Readable when the connection has ended (unmounted, or aborted).
  int ended() const { return ended_.get(); }
  // Joins the readers; only after the end.
  void Join();

 private:
  explicit Transport(Options options);
  static ssize_t Read(int fd, void* buffer, size_t size, void* self);
  static ssize_t Write(int fd, iovec* parts, int count, void* self);
  void NoteInit(const void* request, size_t size);
  ssize_t AnswerInit(int fd, const iovec* parts);
  void ReadRequests();
  bool MoreAreWaiting() const;

  Options options_;
  struct fuse_session* session_ = nullptr;
  UniqueFd ended_;
  std::latch gate_{1};
  ReadingTurn turn_;
  std::atomic<unsigned> separated_ = 0, failed_ = 0;
  std::vector<std::thread> readers_;
  std::atomic<bool> initialised_ = false;
  uint64_t init_unique_ = 0;
  uint32_t offered_flags_ = 0, offered_flags2_ = 0;
};

}  // namespace bailey::fs
