// ConsoleLog: what the start command prints, taken from a pipe and kept in a file that cannot grow
// without end: beyond 1 MiB the file becomes PATH.1, replacing an older one. A tenant that prints
// faster than it may is slowed down by the pipe, never lost and never stuck. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/paced_reader.h"

namespace bailey::supervisor {

class ConsoleLog {
 public:
  static constexpr size_t kFileBytes = 1 << 20;
  static constexpr size_t kBytesPerSecond = 4 << 20;

  // `path` "": what comes is read and dropped. `owner` gets the pipe, so that the tenant's root can
  // open /dev/stdout again. `loop` must outlive the log.
  static Result<std::unique_ptr<ConsoleLog>> Open(EventLoop& loop, const std::string& path,
                                                  uint32_t owner);
  ConsoleLog(const ConsoleLog&) = delete;
  ConsoleLog& operator=(const ConsoleLog&) = delete;

  // The end that the tenant writes to; CloseWriteEnd() once it has been handed over.
  int write_end() const { return write_end_.get(); }
  void CloseWriteEnd() { write_end_.Reset(); }
  // Takes what is in the pipe now: for the last words of a tenant that has ended.
  void Drain() { reader_.Drain(); }

 private:
  ConsoleLog(EventLoop& loop, std::string path)
      : path_(std::move(path)),
        reader_(loop, kBytesPerSecond, [this](std::string_view text) { Keep(text); }) {}
  Status Start(uint32_t owner);
  void Keep(std::string_view text);
  Status Turn();

  std::string path_;
  UniqueFd write_end_, file_;
  size_t size_ = 0;  // of the file
  PacedReader reader_;
};

}  // namespace bailey::supervisor
