#include "supervisor/ptrace_right.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "base/log.h"

namespace bailey::supervisor {
namespace {

int SetEffective(bool raised) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return -1;
  constexpr uint32_t kBit = CAP_TO_MASK(CAP_SYS_PTRACE);
  uint32_t& effective = data[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective;
  effective = raised ? effective | kBit : effective & ~kBit;
  return static_cast<int>(::syscall(SYS_capset, &header, data.data()));
}

}  // namespace

int LowerPtraceRight() { return SetEffective(false); }
int RaisePtraceRight() { return SetEffective(true); }

PtraceRightScope::~PtraceRightScope() { BAILEY_CHECK(!raised_ || LowerPtraceRight() == 0); }

}  // namespace bailey::supervisor
