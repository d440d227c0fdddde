// HostAddresses: the addresses of the host's interfaces, as they come and go. rtnetlink(7); needs
// no privilege. Runs on the loop's thread.
#pragma once

#include <functional>
#include <vector>

#include "base/event_loop.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::netproxy {

class HostAddresses {
 public:
  // Of the calling thread's network namespace.
  static Result<HostAddresses> Open();

  // Every address now, each as a whole (/32 or /128).
  Result<std::vector<Cidr>> List() const;
  // Calls `changed` after addresses have come or gone, once for a burst of changes. This must stay
  // where it is from now on.
  Status Watch(EventLoop& loop, std::function<void()> changed);

 private:
  HostAddresses(UniqueFd ask, UniqueFd events) : ask_(std::move(ask)), events_(std::move(events)) {}
  void OnEvent(EventLoop& loop);

  UniqueFd ask_, events_;
  std::function<void()> changed_;
  bool scheduled_ = false;
};

}  // namespace bailey::netproxy
