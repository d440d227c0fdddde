#include "base/event_loop.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"

namespace bailey {
namespace {

// An fd number may be closed and reused while its old event waits in the same batch: the event
// carries the generation of the watch it was made for.
uint64_t Key(int fd, uint64_t generation) { return generation << 32 | static_cast<uint32_t>(fd); }

}  // namespace

Result<EventLoop> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return Errno("epoll_create1");
  return EventLoop(std::move(epoll));
}

Status EventLoop::Watch(int fd, uint32_t events, Handler handler) {
  const uint64_t generation = next_id_++ & 0xffffffff;
  epoll_event event{};
  event.events = events;
  event.data.u64 = Key(fd, generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return Errno("epoll_ctl add");
  watchers_[fd] = std::make_shared<Watcher>(Watcher{std::move(handler), generation});
  return {};
}

Status EventLoop::Change(int fd, uint32_t events) {
  const auto found = watchers_.find(fd);
  if (found == watchers_.end()) return Errno("epoll_ctl change", ENOENT);
  epoll_event event{};
  event.events = events;
  event.data.u64 = Key(fd, found->second->generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return Errno("epoll_ctl change");
  return {};
}

void EventLoop::Unwatch(int fd) {
  if (watchers_.erase(fd) == 0) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::After(Clock::duration delay, std::function<void()> action) {
  const TimerId id = next_id_++;
  timers_.emplace(std::pair(Clock::now() + delay, id), std::move(action));
  return id;
}

void EventLoop::Cancel(TimerId id) {
  const auto found = std::find_if(timers_.begin(), timers_.end(),
                                  [id](const auto& timer) { return timer.first.second == id; });
  if (found != timers_.end()) timers_.erase(found);
}

int EventLoop::NextTimeout(Clock::time_point now) const {
  if (timers_.empty()) return -1;
  const auto wait =
      std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - now).count();
  return static_cast<int>(std::clamp<int64_t>(wait, 0, 1 << 30));
}

void EventLoop::RunTimers() {
  if (timers_.empty()) return;
  const Clock::time_point now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    node.mapped()();
  }
}

void EventLoop::WaitAndDispatch(int timeout_ms) {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), timeout_ms);
  BAILEY_CHECK(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    const auto found = watchers_.find(static_cast<int>(event.data.u64 & 0xffffffff));
    if (found == watchers_.end() || found->second->generation != event.data.u64 >> 32) continue;
    const auto watcher = found->second;  // outlives its own Unwatch
    watcher->handler(event.events);
  }
  RunTimers();
}

void EventLoop::Run() {
  running_ = true;
  while (running_) WaitAndDispatch(timers_.empty() ? -1 : NextTimeout(Clock::now()));
}

void EventLoop::RunOnce(Clock::duration at_most) {
  const auto limit =
      static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(at_most).count());
  const int next = NextTimeout(Clock::now());
  WaitAndDispatch(next < 0 ? limit : std::min(limit, next));
}

}  // namespace bailey
