#include "netproxy/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace bailey::netproxy {

PipePool::Pipe PipePool::Borrow() {
  if (!spare_.empty()) {
    Pipe pipe = std::move(spare_.back());
    spare_.pop_back();
    return pipe;
  }
  if (made_ >= kMostPipes) return {};
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) return {};
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // A pipe of the usual 64 KiB gains nothing over copying.
  if (::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes) < 0) return {};
  ++made_;
  return pipe;
}

void PipePool::Return(Pipe pipe) {
  if (spare_.size() < kMostSpare)
    spare_.push_back(std::move(pipe));
  else
    --made_;
}

}  // namespace bailey::netproxy
