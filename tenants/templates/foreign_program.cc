#include "tenants/templates/foreign_program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>

#include "base/child_process.h"
#include "base/unique_fd.h"

namespace bailey::tenants {
namespace {

constexpr size_t kLongestLine = 4096;
constexpr size_t kLinesKept = 6;

std::vector<std::string> DefaultEnvironment() {
  std::vector<std::string> env;
  for (const char* name : {"PATH", "LC_ALL", "HOME", "http_proxy", "https_proxy", "no_proxy"})
    if (const char* value = ::getenv(name)) env.push_back(std::string(name) + "=" + value);
  return env;
}

// Splits what arrives into lines, tells the listener, and remembers the last few.
class LineReader {
 public:
  explicit LineReader(const std::function<void(std::string_view)>& on_line) : on_line_(on_line) {}

  void Add(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n') {
        Finish();
      } else if (line_.size() < kLongestLine) {
        line_ += c;
      }
    }
  }
  void Finish() {
    if (!line_.empty()) {
      if (on_line_) on_line_(line_);
      last_.push_back(line_);
      if (last_.size() > kLinesKept) last_.pop_front();
    }
    line_.clear();
  }
  std::string Last() const {
    std::string text;
    for (const std::string& line : last_) text += (text.empty() ? "" : " | ") + line;
    return text;
  }

 private:
  const std::function<void(std::string_view)>& on_line_;
  std::string line_;
  std::deque<std::string> last_;
};

// Until the pipe ends, or the program has ended and the pipe is empty: a service that it started
// may hold the pipe open for ever.
void ReadUntilEnd(int pipe, int pidfd, LineReader& lines) {
  std::array<char, 8192> buffer;
  for (;;) {
    std::array<pollfd, 2> watched = {pollfd{pipe, POLLIN, 0}, pollfd{pidfd, POLLIN, 0}};
    if (::poll(watched.data(), watched.size(), -1) < 0 && errno == EINTR) continue;
    if (watched[0].revents == 0) break;
    const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    lines.Add({buffer.data(), static_cast<size_t>(got)});
  }
  lines.Finish();
}

std::string Basename(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Status Judge(const ForeignProgram& program, int status, const std::string& last) {
  if (WIFEXITED(status) && std::ranges::count(program.accepted, WEXITSTATUS(status)) > 0) return {};
  std::string what = Basename(program.argv[0]);
  what += WIFSIGNALED(status) ? " was ended by signal " + std::to_string(WTERMSIG(status))
                              : " failed with status " + std::to_string(WEXITSTATUS(status));
  if (!last.empty()) what += ": " + last;
  return Error{{}, what, {}};
}

}  // namespace

Status RunForeign(const ForeignProgram& program) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  const UniqueFd null(program.input >= 0 ? -1 : ::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (program.input < 0 && !null) return Errno("open /dev/null");
  CapabilitySets held;
  if (ReadCapabilities(&held) != 0) return Errno("capget");
  ProgramRights rights{
      program.keep == kAllCapabilities ? kAllCapabilities : program.keep & held.permitted,
      ::getpid()};
  ChildOptions options;
  options.argv = program.argv;
  options.env = program.env.empty() ? DefaultEnvironment() : program.env;
  options.fds = {{program.input >= 0 ? program.input : null.get(), 0}};
  for (const int number : program.output_at) options.fds.emplace_back(write_end.get(), number);
  options.before_exec = ConfineProgram;
  options.context = &rights;
  auto child = SpawnChild(options);
  if (!child) return child.error();
  write_end.Reset();
  LineReader lines(program.on_line);
  ReadUntilEnd(read_end.get(), child->pidfd.get(), lines);
  int status = 0;
  while (::waitpid(child->pid, &status, 0) < 0)
    if (errno != EINTR) return Errno("wait for " + program.argv[0]);
  return Judge(program, status, lines.Last());
}

}  // namespace bailey::tenants
