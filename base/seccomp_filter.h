// A seccomp filter: compiled once with libseccomp (3–5 ms), kept as BPF, loaded in microseconds.
#pragma once

#include <linux/filter.h>
#include <seccomp.h>

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

// What libseccomp compiled. Loading neither allocates nor locks.
class SeccompProgram {
 public:
  // Exports `context`, which stays the caller's.
  static Result<SeccompProgram> Compile(scmp_filter_ctx context);
  // An allow-list for one of our own servers: everything else is `otherwise`
  // (SCMP_ACT_KILL_PROCESS in production). Names unknown to this libseccomp are EINVAL.
  static Result<SeccompProgram> AllowOnly(const std::vector<const char*>& syscalls,
                                          uint32_t otherwise);

  // seccomp(SECCOMP_SET_MODE_FILTER, flags). Returns the kernel's result: 0, or the listener's fd
  // with SECCOMP_FILTER_FLAG_NEW_LISTENER; -1 and errno. Async-signal-safe.
  int Load(unsigned flags) const;
  const std::vector<sock_filter>& instructions() const { return instructions_; }

 private:
  std::vector<sock_filter> instructions_;
};

}  // namespace bailey
