#include "supervisor/processor_share.h"

#include <cerrno>
#include <cmath>

namespace bailey::supervisor {
namespace {

constexpr uint32_t kIdsPerTenant = 65536;
constexpr int kPasses = 20;

bool IsWithin(const cpu_set_t& inner, const cpu_set_t& outer) {
  cpu_set_t both;
  CPU_AND(&both, &inner, &outer);
  return CPU_EQUAL(&both, &inner) != 0;
}

}  // namespace

Result<cpu_set_t> ProcessorsOf(const TenantConfig& config) {
  cpu_set_t usable;
  if (::sched_getaffinity(0, sizeof usable, &usable) != 0) return Errno("sched_getaffinity");
  return ShareOfProcessors(usable, config.limits.cpu, config.uid_base);
}

cpu_set_t ShareOfProcessors(const cpu_set_t& usable, double cores, uint32_t uid_base) {
  const auto all = static_cast<uint64_t>(CPU_COUNT(&usable));
  if (cores <= 0 || cores > static_cast<double>(all) - 1) return usable;
  const auto wanted = static_cast<uint64_t>(std::ceil(cores));
  // Neighbours of the same size lie side by side.
  const uint64_t first = uid_base / kIdsPerTenant * wanted % all;
  cpu_set_t share;
  CPU_ZERO(&share);
  uint64_t place = 0;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &usable)) continue;
    if ((place + all - first) % all < wanted) CPU_SET(cpu, &share);
    ++place;
  }
  return share;
}

int TakeProcessors(const cpu_set_t& share) { return ::sched_setaffinity(0, sizeof share, &share); }

Status MoveToProcessors(const TenantCgroup& tenant, const cpu_set_t& before,
                        const cpu_set_t& share) {
  // A task that was just being made has its parent's old processors and is not listed yet: until a
  // pass finds nothing to do.
  for (int pass = 0; pass < kPasses; ++pass) {
    bool moved = false;
    for (const pid_t task : tenant.TenantTaskIds()) {
      cpu_set_t now;
      if (::sched_getaffinity(task, sizeof now, &now) != 0) continue;  // has ended
      if (CPU_EQUAL(&now, &share) || (IsWithin(now, share) && !CPU_EQUAL(&now, &before))) continue;
      if (::sched_setaffinity(task, sizeof share, &share) == 0)
        moved = true;
      else if (errno != ESRCH)
        return Errno("set the processors of the tenant's tasks");
    }
    if (!moved) break;
  }
  return {};
}

}  // namespace bailey::supervisor
