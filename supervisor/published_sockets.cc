#include "supervisor/published_sockets.h"

#include "base/log.h"
#include "supervisor/open_in_child.h"
#include "supervisor/proxy_sockets.h"

namespace bailey::supervisor {

Result<UniqueFd> PublishedSockets::Make(PublishedPort port) const {
  return OpenInChild([&] { return MakePublishedSocket(setup_.ip, port, setup_.owner); },
                     setup_.servers_cgroup);
}

bool PublishedSockets::Shares(PublishedPort port) {
  if (port.transport != Transport::kTcp || port.port < kFirstShared) return false;
  if (shared_) return true;
  if (cannot_share_ || sockets_.size() < kOwnSockets) return false;
  auto listener = Make({Transport::kTcp, 0});
  auto shared = listener ? SharedPorts::Attach(setup_.ip, std::move(*listener))
                         : Result<std::unique_ptr<SharedPorts>>(listener.error());
  cannot_share_ = !shared;
  if (shared)
    shared_ = std::move(*shared);
  else
    LogWarning("publish: each port needs a socket: " + shared.error().Message());
  return shared_ != nullptr;
}

Result<PublishedSockets::Place> PublishedSockets::Open(PublishedPort port, bool may_share) {
  if (const auto found = sockets_.find(port); found != sockets_.end())
    return Place{found->second.get(), false};
  const bool listed = shared_ && port.transport == Transport::kTcp && shared_->Contains(port.port);
  if (listed || (may_share && Shares(port))) {
    if (!listed) BAILEY_TRY(shared_->Add(port.port));
    setup_.page->Set(port, true);
    return Place{shared_->listener(), true};
  }
  if (sockets_.size() >= kMostSockets) return Errno("publish " + port.ToString(), ENOSPC);
  auto made = Make(port);
  if (!made) return made.error();
  const int fd = made->get();
  sockets_[port] = std::move(*made);
  setup_.page->Set(port, true);
  return Place{fd, false};
}

Status PublishedSockets::Close(PublishedPort port) {
  setup_.page->Set(port, false);
  const auto socket = sockets_.find(port);
  if (socket == sockets_.end()) {
    if (shared_ && port.transport == Transport::kTcp) shared_->Remove(port.port);
    return {};
  }
  const Status silenced = Silence(port.transport, socket->second.get());
  sockets_.erase(socket);
  if (!silenced) return silenced.error().Within("port " + port.ToString());
  return {};
}

Status PublishedSockets::Close(const std::function<bool(PublishedPort)>& which) {
  Status all;
  setup_.page->Read().ForEach([&](PublishedPort port) {
    if (!which(port)) return;
    if (const Status closed = Close(port); !closed) all = closed;
  });
  return all;
}

void PublishedSockets::Clear() {
  shared_.reset();
  sockets_.clear();
  setup_.page->Clear();
}

}  // namespace bailey::supervisor
