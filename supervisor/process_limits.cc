#include "supervisor/process_limits.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace bailey::supervisor {
namespace {

struct ResourceLimit {
  int resource;
  rlim_t soft, hard;
  const char* reason;
};
constexpr rlim_t kNone = RLIM_INFINITY;
// The kernel's own defaults for a machine's first process, where no reason says otherwise.
constexpr auto kLimits = std::to_array<ResourceLimit>({
    {RLIMIT_AS, kNone, kNone, "the cgroup limits memory"},
    // 1, not 0: with 0 the kernel still runs the host's core_pattern program on every crash.
    {RLIMIT_CORE, 1, kNone, "a crash is nothing that the host's programs should look at"},
    {RLIMIT_CPU, kNone, kNone, "the cgroup limits CPU"},
    {RLIMIT_DATA, kNone, kNone, "the cgroup limits memory"},
    {RLIMIT_FSIZE, kNone, kNone, "the store limits the disk"},
    {RLIMIT_LOCKS, kNone, kNone, "not enforced by the kernel"},
    {RLIMIT_MEMLOCK, 8 << 20, 8 << 20, "locked memory cannot be reclaimed by the host"},
    {RLIMIT_MSGQUEUE, 819200, 819200, "kernel memory"},
    {RLIMIT_NICE, 0, 0, "no priority above others'"},
    // RaiseWalls lowers the soft one to 1024, once the descriptors above that are closed.
    {RLIMIT_NOFILE, 1 << 20, 1 << 20, "services raise it"},
    {RLIMIT_NPROC, kNone, kNone, "the cgroup limits tasks"},
    {RLIMIT_RSS, kNone, kNone, "not enforced by the kernel"},
    {RLIMIT_RTPRIO, 0, 0, "no priority above others'"},
    {RLIMIT_RTTIME, kNone, kNone, "nothing runs in real time"},
    {RLIMIT_SIGPENDING, 16384, 16384, "kernel memory"},
    {RLIMIT_STACK, 8 << 20, kNone, "what programs expect"},
});

int SetLimit(ResourceLimit limit) {
  rlimit held{};
  if (::getrlimit(static_cast<__rlimit_resource>(limit.resource), &held) != 0) return -1;
  rlimit wanted{std::min(limit.soft, limit.hard), limit.hard};
  if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &wanted) == 0) return 0;
  // A host that does not let us raise it: as much as there is.
  wanted.rlim_max = std::min(limit.hard, held.rlim_max);
  wanted.rlim_cur = std::min(wanted.rlim_cur, wanted.rlim_max);
  return ::setrlimit(static_cast<__rlimit_resource>(limit.resource), &wanted);
}

// Written by root of the host, it is also the least that the tenant can write later.
int ResetOomScore() {
  const int file = ::open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  if (file < 0) return -1;
  std::array<char, 8> held{};
  // A least above 0 that we cannot lower is no favour to the tenant.
  const bool done =
      ::pwrite(file, "0", 1, 0) == 1 ||
      (errno == EACCES && ::pread(file, held.data(), held.size(), 0) > 0 && held[0] != '-');
  ::close(file);
  return done ? 0 : -1;
}

}  // namespace

int SetTenantProcessLimits(const Allow& allow) {
  for (ResourceLimit limit : kLimits) {
    if (limit.resource == RLIMIT_MEMLOCK && allow.mlock) limit.soft = limit.hard = kNone;
    if (SetLimit(limit) != 0) return -1;
  }
  constexpr sched_param kOrdinary{};
  if (::sched_setscheduler(0, SCHED_OTHER, &kOrdinary) != 0) return -1;
  if (::setpriority(PRIO_PROCESS, 0, 0) != 0) return -1;
  return ResetOomScore();
}

}  // namespace bailey::supervisor
