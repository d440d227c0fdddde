#include "supervisor/tenant_pipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

namespace bailey::supervisor {

Result<TenantPipe> MakeTenantPipe(uint32_t owner) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  TenantPipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // One inode behind both ends. No path leads there but /proc/PID/fd of who holds it.
  if (::fchown(ends[0], owner, owner) != 0) return Errno("fchown of a pipe");
  if (::fchmod(ends[0], 0666) != 0) return Errno("fchmod of a pipe");
  return pipe;
}

}  // namespace bailey::supervisor
