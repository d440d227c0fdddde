// What disk limits need: loop devices and ext4, by trying; without them the rest works.
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/capabilities.h"
#include "supervisor/image_tools.h"
#include "supervisor/loop_device.h"
#include "tenants/doctor/host_checks.h"

namespace bailey::tenants {
namespace {

constexpr const char* kPurpose = "; for disk limits";

HostCheck Lacks(const char* name, const std::string& found, const char* hint) {
  return {name, CheckResult::kWarning, found + kPurpose, hint};
}

// Over memory; it goes when its descriptor does.
HostCheck CheckLoop() {
  const UniqueFd memory(::memfd_create("bailey-doctor", MFD_CLOEXEC));
  if (!memory || ::ftruncate(memory.get(), 1 << 20) != 0)
    return Lacks("loop devices", "not tried: " + Errno("memfd_create").Message(), "");
  const auto loop = supervisor::AttachLoop(memory.get());
  if (!loop) return Lacks("loop devices", loop.error().Message(), "modprobe loop");
  return {"loop devices", CheckResult::kOk, loop->path, {}};
}

HostCheck CheckExt4() {
  const UniqueFd context(::fsopen("ext4", FSOPEN_CLOEXEC));
  if (!context) return Lacks("ext4", Errno("fsopen").Message(), "modprobe ext4");
  return {"ext4", CheckResult::kOk, "disk limits", {}};
}

HostCheck CheckTools() {
  const std::string missing = supervisor::MissingImageTools();
  if (missing.empty()) return {"e2fsprogs", CheckResult::kOk, "disk limits", {}};
  return Lacks("e2fsprogs", "not installed: " + missing, "apt-get install e2fsprogs");
}

HostCheck CheckGrowth() {
  CapabilitySets held;
  if (ReadCapabilities(&held) == 0 && (held.effective & CapabilityBit(CAP_SYS_RESOURCE)) != 0)
    return {"disks grow live", CheckResult::kOk, "CAP_SYS_RESOURCE", {}};
  return {"disks grow live", CheckResult::kWarning,
          "no CAP_SYS_RESOURCE: a disk grows only while its tenant is stopped",
          "give the container or service that runs baileyd CAP_SYS_RESOURCE"};
}

}  // namespace

std::vector<HostCheck> CheckDisks() {
  if (::geteuid() != 0)
    return {{"disk limits", CheckResult::kWarning, "not tried", "run bailey doctor as root"}};
  return {CheckLoop(), CheckExt4(), CheckTools(), CheckGrowth()};
}

}  // namespace bailey::tenants
