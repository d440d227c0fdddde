// Sizes, durations and CPU shares as people write them in specs and on the command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bailey {

// "512M", "10G", "1.5T", "4096": bytes; the suffixes K M G T are powers of 1024 (an added "i", "B"
// or "iB" means the same). EINVAL with a hint for anything else, for negative values and overflow.
Result<uint64_t> ParseSize(std::string_view text);
std::string FormatSize(uint64_t bytes);  // "512M", "1.5G"

// "10s", "500ms", "2m", "1h".
Result<std::chrono::milliseconds> ParseDuration(std::string_view text);
std::string FormatDuration(std::chrono::milliseconds duration);

}  // namespace bailey
