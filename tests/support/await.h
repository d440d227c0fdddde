// Await: false if `condition` does not come true within some seconds.
#pragma once

#include <unistd.h>

namespace bailey {

template <class Condition>
bool Await(Condition condition) {
  for (int i = 0; i < 10'000; ++i) {
    if (condition()) return true;
    ::usleep(1000);
  }
  return false;
}

}  // namespace bailey
