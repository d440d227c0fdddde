// Daemon: telling whoever waits that the root can be used: the supervisor by a byte, a shell by the
// end of the process that it started.
#pragma once

#include "base/unique_fd.h"

namespace bailey::fs {

class Daemon {
 public:
  // `ready_fd`: gets one byte and is closed; -1 for none.
  explicit Daemon(int ready_fd) : ready_(ready_fd) {}

  // Goes on in a child of its own session. The calling process ends with status 0 once the child is
  // ready, and with the child's if it ends before; until then the child's stderr is the caller's.
  void Detach();
  // INIT is answered. Any thread.
  void Ready();

 private:
  UniqueFd ready_;
  bool detached_ = false;
};

}  // namespace bailey::fs
