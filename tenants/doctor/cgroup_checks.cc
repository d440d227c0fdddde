// Cgroups: a v2 tree for life, and the controllers wherever they sit.
#include <array>

#include "base/files.h"
#include "supervisor/cgroup_host.h"
#include "tenants/doctor/host_checks.h"
#include "tenants/doctor/in_child.h"

namespace bailey::tenants {
namespace {

using supervisor::CgroupHost;
using supervisor::Controller;

HostCheck CheckController(const CgroupHost& host, Controller controller) {
  const std::string name = std::string("cgroup ") + supervisor::ControllerName(controller);
  if (host.IsV1(controller))
    return {name, CheckResult::kOk, "on v1, " + host.Of(controller, ""), {}};
  return {name, CheckResult::kOk, "on v2", {}};
}

}  // namespace

std::vector<HostCheck> CheckCgroups() {
  auto host = CgroupHost::Detect();
  if (!host) return {{"cgroups", CheckResult::kMissing, host.error().Message(), host.error().hint}};
  std::vector<HostCheck> checks = {
      {"cgroups", CheckResult::kOk, "v2 tree at " + host->Unified(""), {}}};
  // Present in every directory but the root since 5.14.
  for (const Controller controller : supervisor::kControllers)
    checks.push_back(CheckController(*host, controller));
  if (::geteuid() == 0 && ::access(host->Unified("").c_str(), W_OK) != 0)
    checks.push_back({"cgroup delegation", CheckResult::kMissing, "the v2 tree is read-only",
                      "run on the host itself, or in a container with a writable cgroup tree"});
  return checks;
}

}  // namespace bailey::tenants
