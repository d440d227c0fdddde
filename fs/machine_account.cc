#include "fs/machine_account.h"

#include <algorithm>

#include "base/kernel_counters.h"

namespace bailey::fs {

void CpuAccount::Advance(const CpuReading& now) {
  // Until now there were as many processors as the last reading saw; before the first one, as many
  // as this one sees.
  const unsigned processors = last_.at == 0 ? now.processors : last_.processors;
  const uint64_t had = Growth(now.at, last_.at) * processors;
  const uint64_t busy = Growth(now.user, last_.user) + Growth(now.system, last_.system);
  const uint64_t spare = Growth(had, busy);
  const uint64_t stolen = std::min(spare, Growth(now.throttled, last_.throttled));
  stolen_ += stolen;
  idle_ += spare - stolen;
  const CpuReading before = last_;
  last_ = now;
  last_.at = std::max(now.at, before.at);
  last_.user = std::max(now.user, before.user);
  last_.system = std::max(now.system, before.system);
  last_.throttled = std::max(now.throttled, before.throttled);
}

}  // namespace bailey::fs
