// Running a program that is not ours, line by line, with no more rights than it needs. It dies with
// the thread that runs it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/host_program.h"
#include "base/result.h"

namespace bailey::tenants {

struct ForeignProgram {
  std::vector<std::string> argv;  // argv[0] is a path
  std::vector<std::string> env;   // empty: PATH, LC_ALL and what the builder was given of proxies
  int input = -1;                 // its stdin; -1 means /dev/null
  std::vector<int> output_at = {1, 2};     // the numbers under which it finds the one output pipe
  CapabilityMask keep = kAllCapabilities;  // all others leave every set, checked; all: no drop
  std::vector<int> accepted = {0};         // exit statuses that are no failure
  // Each line of its output without the newline; longer ones are cut at 4 KiB.
  std::function<void(std::string_view)> on_line;
};

// Waits for its end. An error when it could not be started, or ended otherwise than
// accepted: the context then has its status and the last lines that it wrote.
Status RunForeign(const ForeignProgram& program);

}  // namespace bailey::tenants
