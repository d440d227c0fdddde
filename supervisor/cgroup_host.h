// CgroupHost: where this host keeps its controllers. Two layouts are served: pure v2, and hybrid,
// in which cpu, memory and pids still sit on v1 hierarchies beside a v2 tree. Life (freeze, kill,
// events, CLONE_INTO_CGROUP, BPF) is always v2's; a limit goes where its controller is.
// cgroups(7); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. Immutable, thread-safe.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bailey::supervisor {

enum class Controller { kCpu, kMemory, kPids };
inline constexpr std::array<Controller, 3> kControllers = {Controller::kCpu, Controller::kMemory,
                                                           Controller::kPids};
const char* ControllerName(Controller controller);

class CgroupHost {
 public:
  // From /proc/self/mountinfo. Errors: no v2 tree, or a controller that sits nowhere; with a hint.
  static Result<CgroupHost> Detect();
  // The same from a given table (proc_pid_mountinfo(5)); tests have trees of their own.
  static Result<CgroupHost> FromMountinfo(std::string_view table);

  // `name` is relative to every hierarchy's root: "bailey/acme/tenant".
  std::string Unified(std::string_view name) const;
  // The directory with the controller's files for `name`: v1's, or the v2 one.
  std::string Of(Controller controller, std::string_view name) const;
  bool IsV1(Controller controller) const { return !v1_[Index(controller)].empty(); }
  // What a group reads and writes is counted. It limits nothing yet, so a host may lack it; on v1
  // it counts nothing unless a throttle is set on the device.
  bool CountsIo() const { return counts_io_; }

 private:
  static size_t Index(Controller controller) { return static_cast<size_t>(controller); }
  std::string unified_;                 // mount point of the v2 tree
  std::array<std::string, 3> v1_ = {};  // mount point, or "" where the controller is on v2
  bool counts_io_ = false;
};

}  // namespace bailey::supervisor
