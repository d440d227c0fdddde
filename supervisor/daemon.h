// Daemonising: a process of its own session, whose parent waits until it is up and tells how that
// went. daemon(7) without the steps that matter to terminals alone.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

class Daemon {
 public:
  // Forks. In the child: a new session, / as the directory, umask 022, /dev/null as input and
  // output, stderr appended to `log_path` (turned at 1 MiB, from then on as well), every other
  // descriptor closed. The parent does not return: it exits with 0 once the child is up, and with 1
  // and the child's error on stderr if it is not.
  static Result<Daemon> Start(const std::string& log_path);

  void Up();                        // the parent may go
  void Failed(const Error& error);  // the parent says so; the caller ends the process

 private:
  explicit Daemon(UniqueFd report) : report_(std::move(report)) {}
  UniqueFd report_;
};

}  // namespace bailey::supervisor
