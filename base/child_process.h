// Spawning one of our own programs with exactly the descriptors it needs.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

struct ChildOptions {
  std::vector<std::string> argv;                // argv[0] is the path to execute
  std::vector<std::string> env;                 // "K=V"; nothing is inherited
  std::vector<std::pair<int, int>> fds;         // {ours, its number in the child}
  int into_cgroup = -1;                         // v2 directory for CLONE_INTO_CGROUP, or -1
  std::vector<std::string> v1_tasks;            // v1 `tasks` files the child joins first
  int (*before_exec)(void* context) = nullptr;  // async-signal-safe; non-zero errno aborts
  void* context = nullptr;
  bool new_session = true;
  uint64_t namespaces = 0;  // CLONE_NEW… for clone3
};

struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Every descriptor not named in `fds` is closed in the child; 0, 1 and 2 are inherited unless
// named. Returns once exec has succeeded, else the child's errno with the step that failed.
Result<Child> SpawnChild(const ChildOptions& options);

// The directory of the running executable, where Bailey's other programs lie.
std::string ProgramDirectory();

}  // namespace bailey
