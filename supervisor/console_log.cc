#include "supervisor/console_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/files.h"
#include "base/log.h"
#include "supervisor/tenant_pipe.h"

namespace bailey::supervisor {

Result<std::unique_ptr<ConsoleLog>> ConsoleLog::Open(EventLoop& loop, const std::string& path,
                                                     uint32_t owner) {
  std::unique_ptr<ConsoleLog> log(new ConsoleLog(loop, path));
  BAILEY_TRY(log->Start(owner));
  return log;
}

Status ConsoleLog::Start(uint32_t owner) {
  auto pipe = MakeTenantPipe(owner);
  if (!pipe) return pipe.error();
  read_end_ = std::move(pipe->read);
  write_end_ = std::move(pipe->write);
  // Ours alone: the flag sits on the open file, and the two ends are two of them.
  if (::fcntl(read_end_.get(), F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl O_NONBLOCK");
  if (!path_.empty()) {
    auto file = OpenPath(path_, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
    if (!file) return file.error();
    struct stat seen {};
    if (::fstat(file->get(), &seen) != 0) return Errno("fstat " + path_);
    file_ = std::move(*file);
    size_ = static_cast<size_t>(seen.st_size);
  }
  Resume();
  return {};
}

ConsoleLog::~ConsoleLog() {
  loop_.Cancel(refill_);
  if (watching_) loop_.Unwatch(read_end_.get());
}

void ConsoleLog::Resume() {
  budget_ = kBytesPerSecond;
  refill_ = 0;
  if (watching_) return;
  const Status watched = loop_.Watch(read_end_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); });
  if (!watched) return LogError("console: " + watched.error().Message());
  watching_ = true;
}

void ConsoleLog::OnReadable() {
  if (!TakeSome() || budget_ == 0) {
    loop_.Unwatch(read_end_.get());
    watching_ = false;
  }
}

bool ConsoleLog::TakeSome() {
  std::array<char, 16384> buffer;
  const ssize_t got = ::read(read_end_.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return false;  // no writer is left, and none can come
  const auto bytes = static_cast<size_t>(got);
  budget_ -= std::min(budget_, bytes);
  // The second begins with its first byte: a silent tenant costs no timer.
  if (refill_ == 0) refill_ = loop_.After(std::chrono::seconds(1), [this] { Resume(); });
  Keep({buffer.data(), bytes});
  return true;
}

void ConsoleLog::Drain() {
  std::array<char, 16384> buffer;
  // A pipe's worth at most: somebody may still be writing.
  for (int i = 0; i < 8; ++i) {
    const ssize_t got = ::read(read_end_.get(), buffer.data(), buffer.size());
    if (got <= 0) return;
    Keep({buffer.data(), static_cast<size_t>(got)});
  }
}

void ConsoleLog::Keep(std::string_view text) {
  if (!file_) return;
  if (size_ + text.size() > kFileBytes)
    if (const Status rotated = Rotate(); !rotated)
      return LogError("console: " + rotated.error().Message());
  // A full disk loses lines; it must not stop the tenant.
  if (const Status written = WriteAll(file_.get(), text); written) size_ += text.size();
}

Status ConsoleLog::Rotate() {
  if (::rename(path_.c_str(), (path_ + ".1").c_str()) != 0) return Errno("rename " + path_);
  auto file = OpenPath(path_, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
  if (!file) return file.error();
  file_ = std::move(*file);
  size_ = 0;
  return {};
}

}  // namespace bailey::supervisor
