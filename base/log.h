// Log: one line per event on stderr, in one write(2), so lines of several processes never mix.
// Thread-safe; not async-signal-safe. A line: "2026-11-23T18:04:05.123Z I supervisor[acme]: text".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bailey {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Names this process in its lines, e.g. "supervisor[acme]". Call once, before threads start.
void SetLogName(std::string name);
// Lines below `level` are not written. Default: kInfo.
void SetLogLevel(LogLevel level);
void Log(LogLevel level, std::string_view text);
// What another process has written, as it is, but for control characters other than newline.
void LogForeign(std::string_view text);
// stderr is the log file at `path`: once it is longer than `bytes` it is turned (base/log_file.h).
// For a process that is the file's only writer and has one thread.
void BoundLog(std::string path, size_t bytes);

inline void LogInfo(std::string_view text) { Log(LogLevel::kInfo, text); }
inline void LogWarning(std::string_view text) { Log(LogLevel::kWarning, text); }
inline void LogError(std::string_view text) { Log(LogLevel::kError, text); }

// Aborts with file, line and text: for broken invariants of our own.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression);

}  // namespace bailey

#define BAILEY_CHECK(condition) \
  ((condition) ? void() : ::bailey::CheckFailed(__FILE__, __LINE__, #condition))
