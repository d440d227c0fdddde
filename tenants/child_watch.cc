#include "tenants/child_watch.h"

#include <sys/wait.h>

#include <cerrno>
#include <cstring>

#include "base/syscalls.h"

namespace bailey::tenants {

Result<std::unique_ptr<ChildWatch>> ChildWatch::Start(EventLoop& loop, Child child, Ended ended) {
  std::unique_ptr<ChildWatch> watch(new ChildWatch(loop, std::move(child), std::move(ended)));
  ChildWatch* const self = watch.get();
  BAILEY_TRY(loop.Watch(self->child_.pidfd.get(), EPOLLIN, [self](uint32_t) { self->OnEnd(); }));
  return watch;
}

ChildWatch::~ChildWatch() {
  if (child_.pidfd) loop_.Unwatch(child_.pidfd.get());
}

void ChildWatch::Signal(int signal) const {
  if (child_.pidfd) sys::PidfdSendSignal(child_.pidfd.get(), signal);
}

void ChildWatch::OnEnd() {
  loop_.Unwatch(child_.pidfd.get());
  int status = 0;
  while (::waitpid(child_.pid, &status, 0) < 0 && errno == EINTR) {
  }
  child_.pidfd.Reset();
  const Ended ended = std::move(ended_);
  ended(status);
}

std::string DescribeStatus(int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return "signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
  }
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace bailey::tenants
