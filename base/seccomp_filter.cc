#include "base/seccomp_filter.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "base/files.h"

namespace bailey {

Result<SeccompProgram> SeccompProgram::Compile(scmp_filter_ctx context) {
  const UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) return Errno("memfd_create");
  if (const int error = seccomp_export_bpf(context, memory.get()); error != 0)
    return Errno("seccomp_export_bpf", -error);
  const off_t size = ::lseek(memory.get(), 0, SEEK_END);
  SeccompProgram program;
  program.instructions_.resize(static_cast<size_t>(size) / sizeof(sock_filter));
  if (::pread(memory.get(), program.instructions_.data(), static_cast<size_t>(size), 0) != size)
    return Errno("read the compiled filter", EIO);
  return program;
}

Result<SeccompProgram> SeccompProgram::AllowOnly(const std::vector<const char*>& syscalls,
                                                 uint32_t otherwise) {
  const std::unique_ptr<void, decltype(&seccomp_release)> context(seccomp_init(otherwise),
                                                                  seccomp_release);
  if (context == nullptr) return Errno("seccomp_init", ENOMEM);
  for (const char* name : syscalls) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) return Errno(std::string("unknown system call ") + name, EINVAL);
    if (number < 0) continue;  // a call of other architectures (open on arm64)
    if (const int error = seccomp_rule_add(context.get(), SCMP_ACT_ALLOW, number, 0); error != 0)
      return Errno(std::string("allow ") + name, -error);
  }
  return Compile(context.get());
}

int SeccompProgram::Load(unsigned flags) const {
  sock_fprog program{static_cast<unsigned short>(instructions_.size()),
                     const_cast<sock_filter*>(instructions_.data())};
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

}  // namespace bailey
