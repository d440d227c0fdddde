#include "supervisor/walls.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/syscalls.h"

namespace bailey::supervisor {
namespace {

int Fail(WallFailure* failure, WallStep step, int error = errno) {
  *failure = {step, error};
  return -1;
}

void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// select(2) knows no number above 1023: what programs expect of the soft limit.
bool LimitOpenFiles() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return false;
  files.rlim_cur = std::min<rlim_t>(1024, files.rlim_max);
  return ::setrlimit(RLIMIT_NOFILE, &files) == 0;
}

bool IdsAreRoot() {
  uid_t ruid = 1, euid = 1, suid = 1;
  gid_t rgid = 1, egid = 1, sgid = 1;
  if (::getresuid(&ruid, &euid, &suid) != 0 || ::getresgid(&rgid, &egid, &sgid) != 0) return false;
  return (ruid | euid | suid) == 0 && (rgid | egid | sgid) == 0 && ::getgroups(0, nullptr) == 0;
}

bool CapabilitiesAre(CapabilityMask keep) {
  CapabilitySets sets;
  if (ReadCapabilities(&sets) != 0) return false;
  return sets.effective == keep && sets.permitted == keep && sets.bounding == keep &&
         sets.inheritable == 0 && sets.ambient == 0 && ::prctl(PR_GET_SECUREBITS) == 0;
}

// Filter mode, and it does refuse: no table has clone3, which without a filter would be EINVAL.
bool FilterStands() {
  return ::prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER &&
         ::syscall(SYS_clone3, nullptr, 0) == -1 && errno == ENOSYS;
}

}  // namespace

const char* WallStepName(WallStep step) {
  constexpr std::array<const char*, 12> kNames = {"enter the tenant's time",
                                                  "forbid namespaces",
                                                  "ids",
                                                  "keyring",
                                                  "descriptors",
                                                  "bounding set",
                                                  "seccomp",
                                                  "capabilities",
                                                  "check ids",
                                                  "check capabilities",
                                                  "check the filter",
                                                  "execute"};
  const auto index = static_cast<size_t>(step);
  return index < kNames.size() ? kNames[index] : "unknown";
}

int BecomeTenantRoot(WallFailure* failure) {
  // Raw calls: glibc's would signal every thread of a process that we are a copy of.
  if (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, 0, 0, 0) != 0 ||
      ::syscall(SYS_setresuid, 0, 0, 0) != 0)
    return Fail(failure, WallStep::kIds);
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return Fail(failure, WallStep::kIds);
  if (!IdsAreRoot()) return Fail(failure, WallStep::kCheckIds, EPERM);
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS)
    return Fail(failure, WallStep::kKeyring);
  ResetSignals();
  ::umask(022);
  return 0;
}

int ArrangeDescriptors(std::span<const int> wanted, std::span<const int> kept,
                       WallFailure* failure) {
  constexpr size_t kMost = 16;
  const size_t count = wanted.size() + kept.size();
  if (count > kMost) return Fail(failure, WallStep::kDescriptors, E2BIG);
  std::array<int, kMost> copies{};
  std::copy(kept.begin(), kept.end(), std::copy(wanted.begin(), wanted.end(), copies.begin()));
  const auto used = std::span(copies).first(count);
  // Out of the way of every target first: the numbers may overlap in any way.
  const int above = std::max(static_cast<int>(count), *std::max_element(used.begin(), used.end()));
  for (int& fd : used)
    if (fd = ::fcntl(fd, F_DUPFD_CLOEXEC, above + 1); fd < 0)
      return Fail(failure, WallStep::kDescriptors);
  for (size_t i = 0; i < count; ++i)
    if (::dup3(used[i], static_cast<int>(i), i < wanted.size() ? 0 : O_CLOEXEC) < 0)
      return Fail(failure, WallStep::kDescriptors);
  if (sys::CloseRange(static_cast<unsigned>(count), ~0U, 0) != 0)
    return Fail(failure, WallStep::kDescriptors);
  return 0;
}

int RaiseWalls(CapabilityMask keep, const TenantFilter& filter, WallFailure* failure) {
  if (!LimitOpenFiles()) return Fail(failure, WallStep::kDescriptors);
  // First while we hold SETPCAP; a new user namespace has filled the bounding set again.
  if (DropBoundingSet(keep) != 0) return Fail(failure, WallStep::kBoundingSet);
  // Second while we hold SYS_ADMIN: without no_new_privs the filter asks for it.
  const int listener = filter.Load();
  if (listener < 0) return Fail(failure, WallStep::kSeccomp);
  if (SetCapabilities(keep) != 0) return Fail(failure, WallStep::kCapabilities);
  if (!IdsAreRoot()) return Fail(failure, WallStep::kCheckIds, EPERM);
  if (!CapabilitiesAre(keep)) return Fail(failure, WallStep::kCheckCapabilities, EPERM);
  if (!FilterStands()) return Fail(failure, WallStep::kCheckFilter, EPERM);
  return listener;
}

}  // namespace bailey::supervisor
