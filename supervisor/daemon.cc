#include "supervisor/daemon.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/files.h"
#include "base/log.h"
#include "base/log_file.h"
#include "base/syscalls.h"

namespace bailey::supervisor {
namespace {

constexpr size_t kLogBytes = 1 << 20;

// The child says "up", or its error's text; nothing at all if it has died.
[[noreturn]] void AwaitChild(const UniqueFd& report) {
  const auto said = ReadAll(report.get());
  if (said && *said == "up") ::_exit(0);
  const std::string text = said && !said->empty() ? *said : "bailey-supervisor died; see its log";
  ::dprintf(STDERR_FILENO, "%s\n", text.c_str());
  ::_exit(1);
}

Status MoveStreams(const std::string& log_path, int report) {
  const auto null = OpenPath("/dev/null", O_RDWR);
  if (!null) return null.error();
  const auto log = OpenLogFile(log_path);
  if (!log) return log.error();
  if (::dup2(null->get(), 0) < 0 || ::dup2(null->get(), 1) < 0 || ::dup2(log->get(), 2) < 0 ||
      ::dup3(report, 3, O_CLOEXEC) < 0)
    return Errno("dup2");
  BoundLog(log_path, kLogBytes);
  return {};
}

}  // namespace

Result<Daemon> Daemon::Start(const std::string& log_path) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  // dup3 onto itself is an error, and 3 may be anything: it is moved out of the way.
  UniqueFd report(::fcntl(write_end.get(), F_DUPFD_CLOEXEC, 4));
  if (!report) return Errno("fcntl F_DUPFD");
  const pid_t child = ::fork();
  if (child < 0) return Errno("fork");
  write_end.Reset();
  if (child > 0) {
    report.Reset();
    AwaitChild(read_end);
  }
  read_end.Reset();
  if (::setsid() < 0 || ::chdir("/") != 0) return Errno("setsid");
  ::umask(022);  // whatever our caller's: directories made for a tenant are for all of its users
  BAILEY_TRY(MoveStreams(log_path, report.get()));
  static_cast<void>(report.Release());
  if (sys::CloseRange(4, ~0U, 0) != 0) return Errno("close_range");
  return Daemon(UniqueFd(3));
}

void Daemon::Up() {
  [[maybe_unused]] const Status told = WriteAll(report_.get(), "up");
  report_.Reset();
}

void Daemon::Failed(const Error& error) {
  const std::string hint = error.hint.empty() ? "" : "\n" + error.hint;
  [[maybe_unused]] const Status told = WriteAll(report_.get(), error.Message() + hint);
  report_.Reset();
}

}  // namespace bailey::supervisor
