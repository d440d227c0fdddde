#include "tenants/probe/report.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

namespace bailey::probe {
namespace {

constexpr unsigned kPatienceSeconds = 5;

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) {
      out += '?';
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// The attempt may change its process in any way, or be killed for trying.
int RunInChild(const std::function<int()>& run) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return errno;
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(kPatienceSeconds);
    const int result = run();
    const bool told = ::write(pipe[1], &result, sizeof result) == sizeof result;
    ::_exit(told ? 0 : 1);
  }
  ::close(pipe[1]);
  int result = 0;
  const bool told = pid > 0 && ::read(pipe[0], &result, sizeof result) == sizeof result;
  ::close(pipe[0]);
  int status = 0;
  while (pid > 0 && ::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (told) return result;
  if (pid < 0) return EAGAIN;
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? kNothing : kKilled;
}

std::string Names(const std::vector<int>& results) {
  std::string names;
  for (const int result : results) names += (names.empty() ? "" : "|") + ResultName(result);
  return names;
}

}  // namespace

std::string ResultName(int result) {
  switch (result) {
    case kThrough:
      return "got through";
    case kKilled:
      return "killed";
    case kNothing:
      return "no answer";
    default:
      break;
  }
  const char* name = ::strerrorname_np(result);
  return name != nullptr ? name : "errno " + std::to_string(result);
}

int ResultOf(long result) { return result < 0 ? errno : kThrough; }

std::string ReadText(const std::string& path) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  std::array<char, 4096> bytes{};
  for (ssize_t got = 0;
       (got = ::read(fd, bytes.data(), bytes.size())) > 0 && text.size() < 1 << 20;)
    text.append(bytes.data(), static_cast<size_t>(got));
  ::close(fd);
  return text;
}

std::string StatusField(const std::string& text, const std::string& key) {
  const std::string start = key + ":";
  size_t at = text.starts_with(start) ? 0 : text.find("\n" + start);
  if (at == std::string::npos) return {};
  if (at != 0) ++at;
  std::string value = text.substr(at + start.size(), text.find('\n', at) - at - start.size());
  std::erase_if(value, [](char c) { return c == ' ' || c == '\t'; });
  return value;
}

void Report::Denied(const char* wall, const std::string& attempt, const std::vector<int>& accepted,
                    const std::function<int()>& run) {
  const int result = RunInChild(run);
  Fact(wall, attempt, Names(accepted), ResultName(result),
       std::find(accepted.begin(), accepted.end(), result) != accepted.end());
}

void Report::Permitted(const char* wall, const std::string& attempt,
                       const std::function<int()>& run) {
  const int result = RunInChild(run);
  Fact(wall, attempt, "works", result == kThrough ? "works" : ResultName(result),
       result == kThrough);
}

void Report::Fact(const char* wall, const std::string& attempt, const std::string& expected,
                  const std::string& got, bool ok) {
  std::printf("{\"wall\":%s,\"attempt\":%s,\"expected\":%s,\"got\":%s,\"ok\":%s}\n",
              Quoted(wall).c_str(), Quoted(attempt).c_str(), Quoted(expected).c_str(),
              Quoted(got).c_str(), ok ? "true" : "false");
  ++count_;
}

void Report::Done() {
  std::printf("{\"done\":%d}\n", count_);
  std::fflush(stdout);
}

}  // namespace bailey::probe
