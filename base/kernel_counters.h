// Counters that the kernel keeps, as the texts of its files say them. Pure. What is absent reads as
// zero: kernels differ in what they count. Formats: admin-guide/cgroup-v2.rst, accounting/psi.rst
// of the kernel's documentation.
#pragma once

#include <cstdint>
#include <string_view>

namespace bailey {

// Takes the text up to `separator`, and that, off the front.
std::string_view TakeUntil(std::string_view& text, char separator);
// The decimal digits at the front.
uint64_t ToNumber(std::string_view text);
// The value of `key` in a flat keyed file ("usage_usec 123\nuser_usec 100\n").
uint64_t KeyedNumber(std::string_view text, std::string_view key);
// Microseconds in which at least one task was kept waiting, of a pressure file.
uint64_t PressureTotalOf(std::string_view text);

// Of a total that only grows: a reading that says otherwise is late.
constexpr uint64_t Growth(uint64_t now, uint64_t before) { return now > before ? now - before : 0; }

}  // namespace bailey
