// InodeNumbers: one 64-bit number space for files of several devices. A tenant sees one st_dev, so
// two layers on two disks must not show one number twice (hard links would be seen where there are
// none). Numbers of the first device stay as they are; those of the others carry the device's place
// in their upper 16 bits; a number that needs those bits itself is hashed. Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <shared_mutex>
#include <vector>

namespace bailey::fs {

class InodeNumbers {
 public:
  uint64_t Map(dev_t device, uint64_t number);

 private:
  uint64_t PlaceOf(dev_t device);

  std::shared_mutex mutex_;  // leaf
  std::vector<dev_t> devices_;
};

}  // namespace bailey::fs
