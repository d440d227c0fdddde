// How the programs of this folder write down which system calls they keep.
#pragma once

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace bailey::netproxy {

// What becomes of a call beyond the list.
#ifdef BAILEY_SANITIZE
inline constexpr uint32_t kOtherwise =
    SCMP_ACT_LOG;  // the sanitizers' runtime has calls of its own
#else
inline constexpr uint32_t kOtherwise = SCMP_ACT_KILL_PROCESS;
#endif

using SeccompContext = std::unique_ptr<void, decltype(&seccomp_release)>;

// Adds one rule; a call that this architecture does not have is none.
template <class... Comparison>
Status Allow(const SeccompContext& context, const char* name, Comparison... comparison) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return Errno(std::string("unknown system call ") + name, EINVAL);
  if (number < 0) return {};
  const int error =
      seccomp_rule_add(context.get(), SCMP_ACT_ALLOW, number, sizeof...(comparison), comparison...);
  if (error != 0) return Errno(std::string("allow ") + name, -error);
  return {};
}

// Memory, but none that can be executed.
inline Status AllowDataMemory(const SeccompContext& context) {
  for (const char* name : {"mmap", "mprotect"})
    BAILEY_TRY(Allow(context, name, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  return {};
}

}  // namespace bailey::netproxy
