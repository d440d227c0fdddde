#include "base/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace bailey {
namespace {

constexpr int kLastPossibleCapability = 63;

CapabilityMask Join(uint32_t low, uint32_t high) { return CapabilityMask{high} << 32 | low; }

}  // namespace

int ReadCapabilities(CapabilitySets* out) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return -1;
  out->effective = Join(data[0].effective, data[1].effective);
  out->permitted = Join(data[0].permitted, data[1].permitted);
  out->inheritable = Join(data[0].inheritable, data[1].inheritable);
  out->bounding = out->ambient = 0;
  for (int c = 0; c <= kLastPossibleCapability; ++c) {
    const int bound = ::prctl(PR_CAPBSET_READ, c, 0, 0, 0);
    if (bound < 0) break;  // EINVAL: beyond the last one that this kernel knows
    if (bound > 0) out->bounding |= CapabilityBit(c);
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, c, 0, 0) > 0)
      out->ambient |= CapabilityBit(c);
  }
  return 0;
}

int DropBoundingSet(CapabilityMask keep) {
  for (int c = 0; c <= kLastPossibleCapability; ++c) {
    const int bound = ::prctl(PR_CAPBSET_READ, c, 0, 0, 0);
    if (bound < 0) break;
    if (bound > 0 && (keep & CapabilityBit(c)) == 0 && ::prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0)
      return -1;
  }
  return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

int SetCapabilities(CapabilityMask keep) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  data[0].effective = data[0].permitted = static_cast<uint32_t>(keep);
  data[1].effective = data[1].permitted = static_cast<uint32_t>(keep >> 32);
  return static_cast<int>(::syscall(SYS_capset, &header, data.data()));
}

Status DropCapabilities(CapabilityMask keep) {
  CapabilitySets sets;
  if (ReadCapabilities(&sets) != 0) return Errno("capget");
  const CapabilityMask held = keep & sets.permitted;
  if (DropBoundingSet(keep) != 0) return Errno("drop the bounding set");
  if (SetCapabilities(held) != 0) return Errno("capset");
  if (ReadCapabilities(&sets) != 0) return Errno("capget");
  const CapabilityMask all =
      sets.effective | sets.permitted | sets.inheritable | sets.bounding | sets.ambient;
  if ((all & ~keep) != 0) return Errno("capabilities are left after the drop", EPERM);
  return {};
}

}  // namespace bailey
