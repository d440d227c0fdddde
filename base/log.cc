#include "base/log.h"

#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace bailey {
namespace {

std::string& Name() {
  static std::string name = "bailey";
  return name;
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
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

void CheckFailed(const char* file, int line, const char* expression) {
  LogError(std::string("check failed at ") + file + ":" + std::to_string(line) + ": " + expression);
  std::abort();
}

}  // namespace bailey
