// A fuzz target's input, taken apart from the front. Whatever it is asked for beyond its end is
// zero or empty: every input means something.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bailey {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  // Below `limit`.
  size_t Below(size_t limit) { return limit == 0 ? 0 : Byte() % limit; }
  uint64_t Number(size_t bytes = 8) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; ++i) number |= uint64_t{Byte()} << (8 * i);
    return number;
  }
  // As long as its first byte says, at most `longest`.
  std::string Text(size_t longest = 255) {
    const size_t size = std::min({size_t{Byte()}, longest, rest_.size()});
    std::string text(reinterpret_cast<const char*>(rest_.data()), size);
    rest_ = rest_.subspan(size);
    return text;
  }
  // All that is left. A copy of exactly its size, so that a read beyond it is seen.
  std::vector<uint8_t> Rest() {
    std::vector<uint8_t> rest(rest_.begin(), rest_.end());
    rest_ = {};
    return rest;
  }
  std::string RestText() {
    std::string rest(reinterpret_cast<const char*>(rest_.data()), rest_.size());
    rest_ = {};
    return rest;
  }

 private:
  std::span<const uint8_t> rest_;
};

// A property of the code under test does not hold: a crash for the fuzzer.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace bailey

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Called before the first input where a target has it.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
