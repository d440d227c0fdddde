// ExecSession: the caller's side of docs/DESIGN.md's "Exec sessions". The supervisor sends the host
// ends of the process's stdin, stdout and stderr (or of its terminal) and, at the end, its status.
#pragma once

#include <functional>
#include <string_view>

#include "base/unique_fd.h"
#include "tenants/cli/outcome.h"

namespace bailey::tenants {

struct ExecIo {
  // What the process reads; -1: nothing, an empty stdin. A terminal is put into raw mode when the
  // session has one too, and its size is passed on.
  int input = -1;
  // What the process writes: `stream` is 1 or 2. With a terminal everything is 1.
  std::function<void(int stream, std::string_view bytes)> output;
};

// Runs until the process has ended; its exit status. HUP, INT, QUIT, TERM, USR1 and USR2 sent to us
// meanwhile go to the process. A failure only if no status ever came. Changes the signal mask of
// the calling thread for the time being.
Outcome<int> RunExecSession(UniqueFd connection, const ExecIo& io);

}  // namespace bailey::tenants
