// How much disk space a directory takes: a walk with bounds, so that nobody who fills a directory
// can make its measuring long or large.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/result.h"

namespace bailey::tenants {

struct DiskUse {
  uint64_t bytes = 0;    // of blocks taken, directories included; a file with several names once
  uint64_t inodes = 0;   // the directory itself included
  bool complete = true;  // false: a bound was reached, and there is more
};

struct WalkBounds {
  std::chrono::milliseconds time;
  uint64_t entries;
};
// Of a walk that somebody waits for.
inline constexpr WalkBounds kShortWalk{std::chrono::milliseconds(2000), 1'000'000};
inline constexpr WalkBounds kLongWalk{std::chrono::minutes(10), 100'000'000};

// Of `directory` (a descriptor, O_RDONLY) and what is below; follows no symlink and enters no other
// mount. What vanishes meanwhile is left out; deeper than 200 directories is "more". Blocks.
Result<DiskUse> MeasureTree(int directory, const WalkBounds& bounds);

}  // namespace bailey::tenants
