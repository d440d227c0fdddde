// ResolverWatch: tells when the host's resolvers have changed: whoever writes or replaces
// /etc/resolv.conf (or what it is a link to) does so without asking us. inotify(7). Runs on the
// daemon's loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "tenants/host_resolver.h"

namespace bailey::tenants {

class ResolverWatch {
 public:
  // `read` says what holds now; `changed` is called when it says something else than before. The
  // directories of `files` are watched, and those that links among them lead to. `loop` must
  // outlive it.
  static Result<std::unique_ptr<ResolverWatch>> Start(EventLoop& loop,
                                                      const std::vector<std::string>& files,
                                                      std::function<HostResolver()> read,
                                                      std::function<void()> changed);
  // Of the host's own files.
  static Result<std::unique_ptr<ResolverWatch>> Start(EventLoop& loop,
                                                      std::function<void()> changed);
  ~ResolverWatch();
  ResolverWatch(const ResolverWatch&) = delete;
  ResolverWatch& operator=(const ResolverWatch&) = delete;

 private:
  explicit ResolverWatch(EventLoop& loop) : loop_(loop) {}
  Status WatchDirectories();
  void OnEvents();
  void Look();

  EventLoop& loop_;
  UniqueFd inotify_;
  std::vector<std::string> files_;
  std::function<HostResolver()> read_;
  std::function<void()> changed_;
  HostResolver held_;
  EventLoop::TimerId look_ = 0;
};

}  // namespace bailey::tenants
