// PacedReader: takes what is written to a pipe, so many bytes a second. Who writes faster waits, or
// loses what does not fit if its end does not block. Not thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

class PacedReader {
 public:
  using Take = std::function<void(std::string_view text)>;

  // `loop` must outlive this.
  PacedReader(EventLoop& loop, size_t bytes_per_second, Take take)
      : loop_(loop), bytes_per_second_(bytes_per_second), take_(std::move(take)) {}
  ~PacedReader() { Stop(); }
  PacedReader(const PacedReader&) = delete;
  PacedReader& operator=(const PacedReader&) = delete;

  // `read_end` must not block. Instead of the pipe before, if there was one.
  Status Start(UniqueFd read_end);
  // Takes what is in the pipe now: the last words of who has ended.
  void Drain();
  void Stop();

 private:
  void OnReadable();
  bool TakeSome();  // false: nothing comes any more
  void Resume();

  EventLoop& loop_;
  const size_t bytes_per_second_;
  const Take take_;
  UniqueFd pipe_;
  size_t budget_ = 0;  // bytes that may still be taken in this second
  EventLoop::TimerId refill_ = 0;
  bool watching_ = false;
};

}  // namespace bailey::supervisor
