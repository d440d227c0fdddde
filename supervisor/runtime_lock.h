// One supervisor per runtime directory: a POSIX lock on DIR/lock, which dies with its holder and
// tells who that is (fcntl(2), F_GETLK). The lock belongs to the process; a child has none, so it
// is taken after daemonising. No other descriptor of DIR/lock may be closed in this process.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

class RuntimeLock {
 public:
  static Result<RuntimeLock> Open(const std::string& runtime_dir);

  // True when it is ours now, false while another process holds it.
  Result<bool> Try() const;
  // Waits for its holder to let go, ETIMEDOUT.
  Status Await(std::chrono::milliseconds at_most) const;
  // Ends the holder by SIGKILL and takes the lock. The holder is known by a pidfd that was checked
  // after it was opened: never by its number alone.
  Status TakeByForce() const;

 private:
  explicit RuntimeLock(UniqueFd file) : file_(std::move(file)) {}
  pid_t Holder() const;
  UniqueFd file_;
};

}  // namespace bailey::supervisor
