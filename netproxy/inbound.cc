#include "netproxy/inbound.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "netproxy/tcp_options.h"

namespace bailey::netproxy {
namespace {

constexpr int kAcceptsPerTurn = 64;

bool IsLoopback(const IpAddress& address) {
  static const IpAddress loopback6 = *IpAddress::Parse("::1");
  return address.is_v6() ? address == loopback6 : address.v4() >> 24 == 127;
}

}  // namespace

Inbound::~Inbound() { Rest(); }

Status Inbound::Serve(int listener) {
  if (::fcntl(listener, F_SETFL, O_NONBLOCK) != 0) return Errno("published listener");
  SetRelayOptions(listener);
  return loop_.Watch(listener, EPOLLIN, [this, listener](uint32_t) { OnConnections(listener); });
}

Status Inbound::Publish(uint16_t port, UniqueFd listener) {
  BAILEY_TRY(Serve(listener.get()));
  listeners_.emplace(port, std::move(listener));
  return {};
}

Status Inbound::Share(UniqueFd listener) {
  if (shared_) return {};
  BAILEY_TRY(Serve(listener.get()));
  shared_ = std::move(listener);
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
  if (shared_) loop_.Unwatch(shared_.get());
  shared_.Reset();
  paused_.clear();
}

// They come as the supervisor made them: non-blocking.
void Inbound::AddSockets(std::vector<UniqueFd> sockets) {
  asked_for_ -= std::min(asked_for_, sockets.size());
  std::move(sockets.begin(), sockets.end(), std::back_inserter(stock_));
  Resume();
}

void Inbound::OnLost() {
  asked_for_ = 0;
  loop_.After(kExhaustedPause, [this] { Restock(); });
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
    if (!accepted && IsExhausted(errno)) {
      loop_.After(kExhaustedPause, [this] { Resume(); });
      return Pause(listener);
    }
    if (!accepted) return;
    OnConnection(std::move(*accepted));
  }
  if (stock_.empty()) Pause(listener);
}

void Inbound::Pause(int listener) {
  loop_.Change(listener, 0);
  paused_.push_back(listener);
}

void Inbound::Resume() {
  if (stock_.empty()) return;
  for (const int listener : std::exchange(paused_, {})) loop_.Change(listener, EPOLLIN);
}

void Inbound::OnConnection(AcceptedSocket accepted) {
  auto admitted = admission_.In(accepted.from, accepted.to);
  if (!admitted) return ResetOnClose(accepted.fd.get());
  InboundClient client{std::move(accepted), TakeFromStock(), std::move(admitted->place)};
  if (admitted->delay == Admission::Delay{}) return Receive(std::move(client));
  const auto turn = waiting_.insert(waiting_.end(), std::move(client));
  loop_.After(admitted->delay, [this, turn] {
    InboundClient now = std::move(*turn);
    waiting_.erase(turn);
    Receive(std::move(now));
  });
}

UniqueFd Inbound::TakeFromStock() {
  UniqueFd inside = std::move(stock_.back());
  stock_.pop_back();
  Restock();
  return inside;
}

void Inbound::SetSuspended(bool suspended) {
  suspended_ = suspended;
  if (!suspended) page_.LetAllIn();
}

void Inbound::Receive(InboundClient client) {
  if (tls_ports_.contains(client.accepted.to.port)) return tls_.Offer(std::move(client));
  Join(std::move(client));
}

void Inbound::Join(InboundClient client) {
  if (suspended_) return page_.Receive(std::move(client));
  LetIn(std::move(client));
}

void Inbound::LetIn(InboundClient client) {
  const Status connected = ConnectInside(client);
  if (connected)
    return relays_.Start(Direction::kIn, std::move(client.inside), std::move(client.accepted.fd));
  LogWarning(connected.error().Message());
  ResetOnClose(client.accepted.fd.get());
}

// The client's port may be one that the tenant itself listens on, or that was used a moment ago:
// the address matters more.
Status Inbound::ConnectInside(InboundClient& client) {
  Endpoint from = ClientAsSeenInside(client.accepted.from);
  Status connected = Connect(client.inside.get(), from, client.accepted.to);
  if (connected || from.port == 0) return connected;
  if (stock_.empty()) return Errno("stock of sockets inside", ENOBUFS);
  client.inside = TakeFromStock();
  from.port = 0;
  return Connect(client.inside.get(), from, client.accepted.to);
}

Status Inbound::Connect(int socket, const Endpoint& client, const Endpoint& to) const {
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
