#include "base/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace bailey {
namespace {

// The number at the front of `text`, which is advanced past it. Digits and one dot only: no sign,
// no exponent, no "inf".
bool TakeNumber(std::string_view* text, double* value) {
  const size_t end = text->find_first_not_of("0123456789.");
  const std::string_view digits = text->substr(0, end);
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *value);
  if (error != std::errc() || stop != digits.data() + digits.size()) return false;
  text->remove_prefix(digits.size());
  return true;
}

constexpr std::string_view kSuffixes = "KMGT";

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  const Error wrong =
      Invalid("not a size: \"" + std::string(text) + "\"", "write it like 512M, 1.5G or 4096");
  double value = 0;
  if (!TakeNumber(&text, &value)) return wrong;
  if (!text.empty() && text != "B") {
    const size_t power = kSuffixes.find(text.front());
    if (power == std::string_view::npos) return wrong;
    text.remove_prefix(1);
    if (!text.empty() && text != "i" && text != "B" && text != "iB") return wrong;
    value = std::ldexp(value, 10 * (static_cast<int>(power) + 1));
  }
  // 2^63 and more would not fit the kernel's own signed sizes.
  if (value >= std::ldexp(1.0, 63)) return wrong;
  return static_cast<uint64_t>(std::llround(value));
}

std::string FormatSize(uint64_t bytes) {
  int power = 0;
  double value = static_cast<double>(bytes);
  while (value >= 1024 && power < 4) {
    value /= 1024;
    ++power;
  }
  char text[32];
  const bool whole = value == std::floor(value);
  std::snprintf(text, sizeof text, whole ? "%.0f" : "%.1f", value);
  return power == 0 ? text : std::string(text) + kSuffixes[static_cast<size_t>(power) - 1];
}

Result<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  const Error wrong =
      Invalid("not a duration: \"" + std::string(text) + "\"", "write it like 10s, 500ms or 2m");
  double value = 0;
  if (!TakeNumber(&text, &value)) return wrong;
  double milliseconds = 0;
  if (text == "ms") {
    milliseconds = value;
  } else if (text == "s") {
    milliseconds = value * 1e3;
  } else if (text == "m") {
    milliseconds = value * 60e3;
  } else if (text == "h") {
    milliseconds = value * 3600e3;
  } else {
    return wrong;
  }
  if (milliseconds > 1e12) return wrong;
  return std::chrono::milliseconds(std::llround(milliseconds));
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  const auto count = duration.count();
  if (count == 0) return "0s";
  if (count % 3600000 == 0) return std::to_string(count / 3600000) + "h";
  if (count % 60000 == 0) return std::to_string(count / 60000) + "m";
  if (count % 1000 == 0) return std::to_string(count / 1000) + "s";
  return std::to_string(count) + "ms";
}

}  // namespace bailey
