#include "netproxy/tls_handover.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/message.h"
#include "netproxy/tcp_options.h"
#include "netproxy/tls/handover.h"

namespace bailey::netproxy {
namespace {

// bailey-tls reads what strangers write: what it sends is looked at.
bool IsUnixStream(int fd) {
  int domain = 0, type = 0;
  socklen_t size = sizeof domain;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return false;
  size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && domain == AF_UNIX &&
         type == SOCK_STREAM;
}

}  // namespace

TlsHandover::~TlsHandover() {
  DropLink();
  while (!waiting_.empty()) TakeOut(waiting_.begin());
}

void TlsHandover::SetLink(UniqueFd link) {
  DropLink();
  link_ = std::move(link);
  const Status watched = loop_.Watch(link_.get(), EPOLLIN, [this](uint32_t) { OnReply(); });
  if (!watched) {
    LogError(watched.error().Message());
    return link_.Reset();
  }
  for (auto place = waiting_.begin(); place != waiting_.end();)
    if (const auto next = place++; next->second.client.accepted.fd) HandOver(next);
}

void TlsHandover::Offer(InboundClient client) {
  if (waiting_.size() >= kMost) return ResetOnClose(client.accepted.fd.get());
  const uint64_t id = ++last_id_;
  const auto deadline = loop_.After(kPatience, [this, id] { waiting_.erase(id); });
  const auto place = waiting_.emplace(id, Waiting{std::move(client), deadline}).first;
  if (link_) HandOver(place);
}

void TlsHandover::HandOver(Place place) {
  UniqueFd& socket = place->second.client.accepted.fd;
  const TlsRequest request{place->first, place->second.client.accepted.to.port};
  if (const Status sent = SendMessage(link_.get(), AsBytes(request), {socket.get()}); !sent) {
    LogWarning(sent.error().Message());
    ResetOnClose(socket.get());
    TakeOut(place);
    return;
  }
  socket.Reset();
}

void TlsHandover::OnReply() {
  auto message = ReceiveMessage(link_.get());
  if (!message) {
    const int error = message.error().Errno();
    if (error == EPIPE || error == ECONNRESET) DropLink();
    return;  // without a descriptor to spare: that client is given up in time
  }
  const auto reply = FromBytes<TlsReply>(message->text);
  if (!reply) return LogWarning("not an answer of bailey-tls");
  const auto place = waiting_.find(reply->id);
  if (place == waiting_.end() || place->second.client.accepted.fd) return;
  InboundClient client = TakeOut(place);
  if (message->fds.size() != 1 || !IsUnixStream(message->fds.front().get())) return;
  client.accepted.fd = std::move(message->fds.front());
  on_plain_(std::move(client));
}

// What had been handed over is lost with it; what waits is handed to the next one.
void TlsHandover::DropLink() {
  if (!link_) return;
  loop_.Unwatch(link_.get());
  link_.Reset();
  for (auto place = waiting_.begin(); place != waiting_.end();)
    if (const auto next = place++; !next->second.client.accepted.fd) TakeOut(next);
}

InboundClient TlsHandover::TakeOut(Place place) {
  InboundClient client = std::move(place->second.client);
  loop_.Cancel(place->second.deadline);
  waiting_.erase(place);
  return client;
}

}  // namespace bailey::netproxy
