#include "base/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "base/log_file.h"

namespace bailey {
namespace {

std::string& Name() {
  static std::string name = "bailey";
  return name;
}

struct Bound {
  std::string path;
  size_t bytes = 0;  // 0: none
};
Bound& TheBound() {
  static Bound bound;
  return bound;
}

std::atomic<LogLevel> minimum_level = LogLevel::kInfo;

std::string Timestamp() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  char text[48];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + length, sizeof text - length, ".%03ldZ", now.tv_nsec / 1000000);
  return text;
}

void TurnIfLong() {
  const Bound& bound = TheBound();
  struct stat seen {};
  if (bound.bytes == 0 || ::fstat(STDERR_FILENO, &seen) != 0) return;
  if (static_cast<size_t>(seen.st_size) <= bound.bytes) return;
  // If it cannot be turned it is cut: lines may be lost, the host's memory may not.
  const auto next = TurnLogFile(bound.path);
  if (!next || ::dup3(next->get(), STDERR_FILENO, 0) < 0) [[maybe_unused]]
    const int cut = ::ftruncate(STDERR_FILENO, 0);
}

void Write(const std::string& text) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  TurnIfLong();
}

}  // namespace

void SetLogName(std::string name) { Name() = std::move(name); }
void SetLogLevel(LogLevel level) { minimum_level = level; }

void Log(LogLevel level, std::string_view text) {
  if (level < minimum_level) return;
  static constexpr char kLetters[] = {'D', 'I', 'W', 'E'};
  std::string line = Timestamp() + ' ' + kLetters[static_cast<int>(level)] + ' ' + Name() + ": ";
  // A line is a line: text that came from outside cannot forge another one.
  for (const char c : text) line += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  line += '\n';
  Write(line);
}

void LogForeign(std::string_view text) {
  std::string lines(text);
  for (char& c : lines)
    if (c != '\n' && (static_cast<unsigned char>(c) < ' ' || c == 0x7f)) c = ' ';
  Write(lines);
}

void BoundLog(std::string path, size_t bytes) {
  TheBound() = {std::move(path), bytes};
  TurnIfLong();
}

void CheckFailed(const char* file, int line, const char* expression) {
  LogError(std::string("check failed at ") + file + ":" + std::to_string(line) + ": " + expression);
  std::abort();
}

}  // namespace bailey
