#include "supervisor/runtime_lock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/files.h"
#include "base/syscalls.h"

namespace bailey::supervisor {
namespace {

constexpr int kAwaitDeathMs = 5'000;

struct flock WholeFile() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

Result<RuntimeLock> RuntimeLock::Open(const std::string& runtime_dir) {
  auto file = OpenPath(runtime_dir + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!file) return file.error();
  return RuntimeLock(std::move(*file));
}

Result<bool> RuntimeLock::Try() const {
  struct flock lock = WholeFile();
  if (::fcntl(file_.get(), F_SETLK, &lock) == 0) return true;
  if (errno == EACCES || errno == EAGAIN) return false;
  return Errno("lock the runtime directory");
}

Status RuntimeLock::Await(std::chrono::milliseconds at_most) const {
  const auto deadline = std::chrono::steady_clock::now() + at_most;
  for (;;) {
    const auto ours = Try();
    if (!ours) return ours.error();
    if (*ours) return {};
    if (std::chrono::steady_clock::now() >= deadline)
      return Errno("wait for the runtime directory's lock", ETIMEDOUT);
    ::usleep(5'000);
  }
}

pid_t RuntimeLock::Holder() const {
  struct flock lock = WholeFile();
  if (::fcntl(file_.get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return -1;
  return lock.l_pid;
}

Status RuntimeLock::TakeByForce() const {
  const pid_t holder = Holder();
  if (holder > 0) {
    const UniqueFd pidfd(sys::PidfdOpen(holder));
    // Still the holder: so the pidfd is of the process that we saw, not of a successor.
    if (pidfd && Holder() == holder) {
      if (sys::PidfdSendSignal(pidfd.get(), SIGKILL) != 0 && errno != ESRCH)
        return Errno("kill the earlier supervisor");
      pollfd ended{pidfd.get(), POLLIN, 0};
      ::poll(&ended, 1, kAwaitDeathMs);
    }
  }
  return Await(std::chrono::milliseconds(kAwaitDeathMs));
}

}  // namespace bailey::supervisor
