#include "fs/daemon.h"

#include <fcntl.h>
#include <sys/wait.h>

#include <array>
#include <cstdlib>

#include "base/log.h"

namespace bailey::fs {

void Daemon::Detach() {
  std::array<int, 2> ends{};
  BAILEY_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0);
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t child = ::fork();
  BAILEY_CHECK(child >= 0);
  if (child != 0) {
    theirs.Reset();
    char byte = 0;
    if (::read(ours.get(), &byte, 1) == 1) std::_Exit(0);
    int status = 0;
    const bool exited = ::waitpid(child, &status, 0) == child && WIFEXITED(status);
    std::_Exit(exited && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
  }
  ::setsid();
  ready_ = std::move(theirs);
  detached_ = true;
}

void Daemon::Ready() {
  if (detached_) {
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int number = 0; number <= 2 && null; ++number) ::dup2(null.get(), number);
    (void)!::chdir("/");
  }
  (void)!::write(ready_.get(), "R", 1);
  ready_.Reset();
}

}  // namespace bailey::fs
