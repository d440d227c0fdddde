// Log: one line per event on stderr, in one write(2), so lines of several processes never mix.
// Thread-safe; not async-signal-safe. A line: "2026-11-23T18:04:05.123Z I supervisor[acme]: text".
#pragma once

#include <string>
#include <string_view>

namespace bailey {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Names this process in its lines, e.g. "supervisor[acme]". Call once, before threads start.
void SetLogName(std::string name);
// Lines below `level` are not written. Default: kInfo.
void SetLogLevel(LogLevel level);
void Log(LogLevel level, std::string_view text);

inline void LogInfo(std::string_view text) { Log(LogLevel::kInfo, text); }
inline void LogWarning(std::string_view text) { Log(LogLevel::kWarning, text); }
inline void LogError(std::string_view text) { Log(LogLevel::kError, text); }

// Aborts with file, line and text: for broken invariants of our own.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression);

}  // namespace bailey

#define BAILEY_CHECK(condition) \
  ((condition) ? void() : ::bailey::CheckFailed(__FILE__, __LINE__, #condition))
