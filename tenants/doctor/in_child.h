// Asking the kernel by trying, in a child process: namespaces, mounts and loaded programs go with
// it.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "base/unique_fd.h"

namespace bailey::tenants {

// What `attempt(out)` wrote to descriptor `out`, in a forked child that ends then. Empty if it
// died.
template <class Attempt>
std::string AskInChild(Attempt attempt) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return {};
  UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return {};
  if (pid == 0) {
    attempt(write_end.get());
    ::_exit(0);
  }
  write_end.Reset();
  std::string text;
  std::array<char, 512> bytes{};
  for (;;) {
    const ssize_t got = ::read(read_end.get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(bytes.data(), static_cast<size_t>(got));
  }
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return text;
}

}  // namespace bailey::tenants
