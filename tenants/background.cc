#include "tenants/background.h"

#include <sys/eventfd.h>

#include <utility>

namespace bailey::tenants {

Result<std::unique_ptr<Background>> Background::Create(EventLoop& loop) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return Errno("eventfd");
  std::unique_ptr<Background> made(new Background(loop, std::move(wake)));
  Background* const self = made.get();
  BAILEY_TRY(loop.Watch(self->wake_.get(), EPOLLIN, [self](uint32_t) { self->Deliver(); }));
  self->thread_ = std::thread([self] { self->Work(); });
  return made;
}

Background::~Background() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  more_.notify_one();
  if (thread_.joinable()) thread_.join();
  loop_.Unwatch(wake_.get());
}

void Background::Run(Job job, Done done) {
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back({std::move(job), std::move(done), {}});
  }
  more_.notify_one();
}

void Background::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    more_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (ending_) return;
    Task task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task.outcome = task.job();
    lock.lock();
    finished_.push_back(std::move(task));
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t woken = ::write(wake_.get(), &one, sizeof one);
  }
}

void Background::Deliver() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof count);
  std::vector<Task> finished;
  {
    const std::scoped_lock lock(mutex_);
    finished = std::exchange(finished_, {});
  }
  for (Task& task : finished) task.done(task.outcome);
}

}  // namespace bailey::tenants
