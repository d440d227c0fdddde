#include "fs/thread_place.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bailey::fs {
namespace {

constexpr mode_t kUnknown = ~mode_t{0};
thread_local mode_t current_mask = kUnknown;

}  // namespace

bool ThreadPlace::Separate() { return ::unshare(CLONE_FS) == 0; }

bool ThreadPlace::Enter(int directory) { return ::fchdir(directory) == 0; }

void ThreadPlace::SetUmask(mode_t mask) {
  mask &= 0777;
  if (mask == current_mask) return;
  ::umask(mask);
  current_mask = mask;
}

}  // namespace bailey::fs
