#include "base/kernel_counters.h"

#include <algorithm>
#include <charconv>

namespace bailey {

std::string_view TakeUntil(std::string_view& text, char separator) {
  const std::string_view part = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

uint64_t ToNumber(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

uint64_t KeyedNumber(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    if (TakeUntil(line, ' ') == key) return ToNumber(line);
  }
  return 0;
}

uint64_t PressureTotalOf(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    constexpr std::string_view kTotal = " total=";
    const size_t at = line.find(kTotal);
    if (line.starts_with("some ") && at != std::string_view::npos)
      return ToNumber(line.substr(at + kTotal.size()));
  }
  return 0;
}

}  // namespace bailey
