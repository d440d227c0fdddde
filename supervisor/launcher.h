// The launcher: L in the stages of tenant_launch.cc. A short-lived fork of the supervisor, root of
// the host, that makes the tenant's mount and network namespaces, clones init and builds the root.
// It runs ordinary code: the supervisor that it is a copy of has one thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

#include "supervisor/tenant_launch.h"

namespace bailey::supervisor {

enum class LaunchStage : int32_t { kNamespaces = 2, kClone = 3, kForbid = 4, kRoot = 5 };

// What the launcher says, once, when it is done; with init's pidfd, the network namespace and the
// tenant's devpts, in this order, if it has not failed.
struct LaunchReport {
  LaunchStage stage = LaunchStage::kNamespaces;  // where it failed
  int32_t error = 0;                             // 0: it has not
  pid_t init_pid = -1;
  std::array<char, 240> context{};
};

// `report`: SEQPACKET to the supervisor. `control`: init's end of LaunchedTenant::control. All that
// it makes ends with it, except init, whose process group is the launcher's.
[[noreturn]] void RunLauncher(const LaunchRequest& request, int report, int control);

}  // namespace bailey::supervisor
