// Require: what a test cannot be set up without. It runs in a child (in_child.h), which ends at
// once.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "base/result.h"

namespace bailey {

inline void Require(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "cannot set up the test: %s (errno %d)\n", what.c_str(), errno);
  ::_exit(3);
}
inline void Require(const Status& status) {
  Require(status.has_value(), status ? "" : status.error().Message());
}

}  // namespace bailey
