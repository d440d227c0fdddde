#include "supervisor/console_log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/log.h"
#include "base/log_file.h"
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
  write_end_ = std::move(pipe->write);
  // Ours alone: the flag sits on the open file, and the two ends are two of them.
  if (::fcntl(pipe->read.get(), F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl O_NONBLOCK");
  if (!path_.empty()) {
    auto file = OpenLogFile(path_);
    if (!file) return file.error();
    struct stat seen {};
    if (::fstat(file->get(), &seen) != 0) return Errno("fstat " + path_);
    file_ = std::move(*file);
    size_ = static_cast<size_t>(seen.st_size);
  }
  return reader_.Start(std::move(pipe->read));
}

void ConsoleLog::Keep(std::string_view text) {
  if (!file_) return;
  if (size_ + text.size() > kFileBytes)
    if (const Status turned = Turn(); !turned)
      return LogError("console: " + turned.error().Message());
  // A full disk loses lines; it must not stop the tenant.
  if (const Status written = WriteAll(file_.get(), text); written) size_ += text.size();
}

Status ConsoleLog::Turn() {
  auto file = TurnLogFile(path_);
  if (!file) return file.error();
  file_ = std::move(*file);
  size_ = 0;
  return {};
}

}  // namespace bailey::supervisor
