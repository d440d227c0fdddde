#include "netproxy/inbound.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/log.h"
#include "netproxy/tcp_options.h"

namespace bailey::netproxy {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kUntilStocked{5};

bool IsLoopback(const IpAddress& address) {
  static const IpAddress loopback6 = *IpAddress::Parse("::1");
  return address.is_v6() ? address == loopback6 : address.v4() >> 24 == 127;
}

}  // namespace

Inbound::~Inbound() {
  for (const auto& [port, listener] : listeners_) loop_.Unwatch(listener.get());
}

Status Inbound::Publish(uint16_t port, UniqueFd listener) {
  const int fd = listener.get();
  if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return Errno("published listener");
  BAILEY_TRY(loop_.Watch(fd, EPOLLIN, [this, fd](uint32_t) { OnConnections(fd); }));
  listeners_.emplace(port, std::move(listener));
  return {};
}

void Inbound::Withdraw(uint16_t port) {
  const auto found = listeners_.find(port);
  if (found == listeners_.end()) return;
  loop_.Unwatch(found->second.get());
  // At once, for whoever else holds a copy as well: the next client is refused.
  ::shutdown(found->second.get(), SHUT_RDWR);
  std::erase(paused_, found->second.get());
  listeners_.erase(found);
}

void Inbound::Rest() {
  for (const auto& [port, listener] : listeners_) loop_.Unwatch(listener.get());
  listeners_.clear();
  paused_.clear();
}

void Inbound::AddSockets(std::vector<UniqueFd> sockets) {
  asked_for_ -= std::min(asked_for_, sockets.size());
  std::move(sockets.begin(), sockets.end(), std::back_inserter(stock_));
  if (stock_.empty()) return;
  for (const int listener : std::exchange(paused_, {})) loop_.Change(listener, EPOLLIN);
}

void Inbound::Restock() {
  const size_t have = stock_.size() + asked_for_;
  if (have > kStock / 2) return;
  asked_for_ += kStock - have;
  ask_for_sockets_(kStock - have);
}

void Inbound::OnConnections(int listener) {
  for (int i = 0; i < kAcceptsPerTurn && !stock_.empty(); ++i) {
    auto accepted = AcceptSocket(listener);
    if (!accepted) return;
    OnConnection(std::move(*accepted));
  }
  if (!stock_.empty()) return;
  loop_.Change(listener, 0);
  paused_.push_back(listener);
}

void Inbound::OnConnection(AcceptedSocket accepted) {
  const auto delay = admission_.In(accepted.from, accepted.to, waiting_);
  if (!delay) return ResetOnClose(accepted.fd.get());
  if (*delay == Admission::Delay{}) return Join(std::move(accepted));
  ++waiting_;
  JoinAfter(*delay, std::make_shared<AcceptedSocket>(std::move(accepted)));
}

void Inbound::JoinAfter(Admission::Delay delay, std::shared_ptr<AcceptedSocket> waits) {
  loop_.After(delay, [this, waits = std::move(waits)] {
    if (stock_.empty()) return JoinAfter(kUntilStocked, waits);
    --waiting_;
    Join(std::move(*waits));
  });
}

void Inbound::Join(AcceptedSocket accepted) {
  auto inside = ConnectInside(accepted);
  Restock();
  if (inside) return relays_.Start(Direction::kIn, std::move(*inside), std::move(accepted.fd));
  LogWarning(inside.error().Message());
  ResetOnClose(accepted.fd.get());
}

// The client's port may be one that the tenant itself listens on, or that was used a moment ago:
// the address matters more.
Result<UniqueFd> Inbound::ConnectInside(const AcceptedSocket& accepted) {
  Endpoint client = ClientAsSeenInside(accepted.from);
  for (;;) {
    if (stock_.empty()) return Errno("stock of sockets inside", ENOBUFS);
    UniqueFd inside = std::move(stock_.back());
    stock_.pop_back();
    const Status connected = Connect(inside.get(), client, accepted.to);
    if (connected) return inside;
    if (client.port == 0) return connected.error();
    client.port = 0;
  }
}

Status Inbound::Connect(int socket, const Endpoint& client, const Endpoint& to) const {
  if (::fcntl(socket, F_SETFL, O_NONBLOCK) != 0) return Errno("socket inside");
  // An established connection must not keep the tenant from listening on its port.
  SetFlag(socket, SOL_SOCKET, SO_REUSEADDR);
  SetFlag(socket, SOL_IP, IP_BIND_ADDRESS_NO_PORT);
  sockaddr_storage address{};
  socklen_t size = client.ToSockaddr(&address);
  if (::bind(socket, reinterpret_cast<sockaddr*>(&address), size) != 0)
    return Errno("bind inside to " + client.ToString());
  size = to.ToSockaddr(&address);
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), size) != 0 && errno != EINPROGRESS)
    return Errno("connect inside from " + client.ToString() + " to " + to.ToString());
  return {};
}

// Programs trust who comes from loopback. A user of the host must not become the tenant's own by
// connecting from 127.0.0.1; unless the tenant itself lives in there, as tenants for trial do.
Endpoint Inbound::ClientAsSeenInside(const Endpoint& client) const {
  if (!IsLoopback(client.address) || IsLoopback(tenant_ip_)) return client;
  return {tenant_ip_, 0};
}

}  // namespace bailey::netproxy
