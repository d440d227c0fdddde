// Running a program of the host's (e2fsprogs, cp) with no more rights than it needs. It dies with
// us: nobody else would know that it still works on a tenant's store.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/capabilities.h"
#include "base/result.h"

namespace bailey::supervisor {

struct HostTool {
  std::vector<std::string> argv;              // argv[0] is looked up in the system's directories
  const char* package;                        // what has it, for a hint
  std::vector<std::pair<int, int>> fds = {};  // {ours, its number in the tool}
  CapabilityMask keep = 0;                    // it is root, and nothing more
  int most = 0;                               // the greatest exit status that is no failure
};

// Waits for its end. An error has its status and the end of what it wrote; ENOENT when it is not
// installed.
Status RunHostTool(const HostTool& tool);

}  // namespace bailey::supervisor
