// PipePool: the pipes through which splice(2) moves bulk data. They are few and large: 1 MiB makes
// a splice worth it, and fs.pipe-user-pages-soft lets one user have 64 MiB of them. A connection
// borrows one while data flows and gives it back when it is empty. Not thread-safe.
#pragma once

#include <cstddef>
#include <vector>

#include "base/unique_fd.h"

namespace bailey::netproxy {

class PipePool {
 public:
  static constexpr int kPipeBytes = 1 << 20;
  static constexpr size_t kMostPipes = 48;  // of the 64 that the soft limit allows
  static constexpr size_t kMostSpare = 4;   // an idle proxy holds no more than these

  struct Pipe {
    UniqueFd read_end, write_end;
    explicit operator bool() const { return static_cast<bool>(read_end); }
  };

  // An empty pipe, non-blocking; none when all are in use: copy instead.
  Pipe Borrow();
  // Takes an empty pipe back.
  void Return(Pipe pipe);
  // The pipe had data in it and was closed with its connection.
  void Forget() { --made_; }

 private:
  std::vector<Pipe> spare_;
  size_t made_ = 0;
};

}  // namespace bailey::netproxy
