#include "fs/inode_numbers.h"

#include <algorithm>
#include <mutex>

namespace bailey::fs {
namespace {

constexpr int kPlaceShift = 48;
constexpr uint64_t kHashed = uint64_t{1} << 63;
constexpr uint64_t kMaxPlace = (kHashed >> kPlaceShift) - 1;

// The finaliser of splitmix64: every bit of the input reaches every bit of the output.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t InodeNumbers::PlaceOf(dev_t device) {
  {
    const std::shared_lock lock(mutex_);
    const auto at = std::find(devices_.begin(), devices_.end(), device);
    if (at != devices_.end()) return static_cast<uint64_t>(at - devices_.begin());
  }
  const std::unique_lock lock(mutex_);
  const auto at = std::find(devices_.begin(), devices_.end(), device);
  if (at != devices_.end()) return static_cast<uint64_t>(at - devices_.begin());
  devices_.push_back(device);
  return devices_.size() - 1;
}

uint64_t InodeNumbers::Map(dev_t device, uint64_t number) {
  const uint64_t place = PlaceOf(device);
  if ((number >> kPlaceShift) == 0 && place <= kMaxPlace) return place << kPlaceShift | number;
  return kHashed | Mix(number + Mix(place + 1));
}

}  // namespace bailey::fs
