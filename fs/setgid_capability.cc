#include "fs/setgid_capability.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "base/log.h"

namespace bailey::fs {
namespace {

using Data = std::array<__user_cap_data_struct, 2>;

bool Get(Data& data) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return ::syscall(SYS_capget, &header, data.data()) == 0;
}
bool Set(const Data& data) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return ::syscall(SYS_capset, &header, data.data()) == 0;
}

// Raising fails where FSETID is not permitted: chmod then judges for itself.
void SetEffective(bool raised) {
  Data data{};
  if (!Get(data)) return;
  if (raised)
    data[0].effective |= data[0].permitted & (1U << CAP_FSETID);
  else
    data[0].effective &= ~(1U << CAP_FSETID);
  BAILEY_CHECK(Set(data));
}

}  // namespace

SetgidCapability::SetgidCapability() { SetEffective(true); }
SetgidCapability::~SetgidCapability() { SetEffective(false); }

bool LowerWriteCapabilities() {
  Data data{};
  if (!Get(data)) return false;
  data[0].effective &= ~(1U << CAP_FSETID | 1U << CAP_SYS_RESOURCE);
  return Set(data);
}

}  // namespace bailey::fs
