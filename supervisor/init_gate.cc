#include "supervisor/init_gate.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/syscalls.h"
#include "supervisor/init_protocol.h"
#include "supervisor/pod_send.h"
#include "supervisor/tenant_clock.h"
#include "supervisor/walls.h"

namespace bailey::supervisor {
namespace {

// Numbers after the first arrangement of descriptors: what bailey-init finds, then what exec
// closes.
enum Slot : int { kInput, kOutput, kError, kControl, kLauncher, kProgram };

constexpr char kMountLimit[] = "/proc/sys/user/max_mnt_namespaces";
constexpr auto kNamespaceLimits = std::to_array<const char*>({
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/user/max_pid_namespaces",
    "/proc/sys/user/max_net_namespaces",
    "/proc/sys/user/max_ipc_namespaces",
    "/proc/sys/user/max_uts_namespaces",
    "/proc/sys/user/max_cgroup_namespaces",
    "/proc/sys/user/max_time_namespaces",
});

// Writes 0 and reads it back.
int ForbidMore(int limit) {
  std::array<char, 2> now{};
  const bool zero = limit >= 0 && ::pwrite(limit, "0", 1, 0) == 1 &&
                    ::pread(limit, now.data(), now.size(), 0) > 0 && now[0] == '0';
  ::close(limit);
  return zero ? 0 : -1;
}

// Only a member of the user namespace may write them: nobody can do it for us. /proc is still the
// host's; the tenant's will have /proc/sys read-only. Returns the limit of mount namespaces, open
// and not yet written, or -1 and errno.
int ForbidNamespaces() {
  for (const char* path : kNamespaceLimits)
    if (ForbidMore(::open(path, O_RDWR | O_CLOEXEC)) != 0) return -1;
  return ::open(kMountLimit, O_RDWR | O_CLOEXEC);
}

// A copy of the finished mount namespace that the tenant owns. The kernel locks what it was given:
// its attributes, and that nothing of it can be taken away to see what is below.
int OwnMounts() { return ::unshare(CLONE_NEWNS); }

[[noreturn]] void Fail(const WallFailure& failure) {
  SendPod(kControl,
          InitMessage{InitMessageType::kFailed, static_cast<int32_t>(failure.step), failure.error});
  ::_exit(1);
}

// Blocks until the supervisor opens the gate; its end closed means that there is no tenant to be.
void AwaitGate() {
  InitMessage message{};
  ssize_t got = 0;
  do {
    got = ::recv(kControl, &message, sizeof message, 0);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof message || message.type != InitMessageType::kOpenGate) ::_exit(1);
}

// The tenant's own /dev/null: nobody inside could have changed it yet.
int OpenNullInput() {
  const int null = ::open("/dev/null", O_RDONLY | O_NOCTTY | O_CLOEXEC);
  if (null < 0) return -1;
  const int placed = ::dup2(null, kInput);
  ::close(null);
  return placed < 0 ? -1 : 0;
}

}  // namespace

void RunInitToGate(const InitGate& gate) {
  WallFailure failure{};
  const std::array<int, 4> wanted = {gate.console, gate.console, gate.console, gate.control};
  const std::array<int, 2> kept = {gate.launcher, gate.init_program};
  // At once: among the supervisor's descriptors are ends whose closing others wait for.
  if (ArrangeDescriptors(wanted, kept, &failure) != 0) ::_exit(1);
  int mount_limit = -1;
  if (EnterTenantClock(gate.started) != 0) Fail({WallStep::kClock, errno});
  if (::prctl(PR_SET_DUMPABLE, 0) != 0 || (mount_limit = ForbidNamespaces()) < 0 ||
      (!gate.own_mounts && ForbidMore(mount_limit) != 0) ||
      ::sethostname(gate.hostname, std::strlen(gate.hostname)) != 0)
    Fail({WallStep::kNamespaces, errno});
  if (::send(kLauncher, "", 1, MSG_NOSIGNAL) != 1) ::_exit(1);
  ::close(kLauncher);

  AwaitGate();
  if (gate.own_mounts && (OwnMounts() != 0 || ForbidMore(mount_limit) != 0))
    Fail({WallStep::kNamespaces, errno});
  if (::setsid() < 0 || ::chdir("/") != 0) Fail({WallStep::kIds, errno});
  if (BecomeTenantRoot(&failure) != 0) Fail(failure);
  if (OpenNullInput() != 0) Fail({WallStep::kDescriptors, errno});
  const int listener = RaiseWalls(gate.keep, *gate.filter, &failure);
  if (listener < 0) Fail(failure);
  if (SendPod(kControl, InitMessage{InitMessageType::kWalls}, std::span(&listener, 1)) != 0)
    ::_exit(1);
  ::close(listener);
  char name[] = "bailey-init";
  char* const argv[] = {name, nullptr};
  char* const env[] = {nullptr};
  sys::Execveat(kProgram, "", argv, env, AT_EMPTY_PATH);
  Fail({WallStep::kExecute, errno});
}

}  // namespace bailey::supervisor
