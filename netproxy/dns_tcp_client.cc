#include "netproxy/dns_tcp_client.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "netproxy/dns_socket.h"

namespace bailey::netproxy {

DnsTcpClient::DnsTcpClient(Host host, UniqueFd connection)
    : host_(std::move(host)), client_(std::move(connection)) {
  const Status watched = host_.loop.Watch(
      client_.get(), EPOLLIN, [this](uint32_t events) { Run(&DnsTcpClient::OnClient, events); });
  if (!watched) client_.Reset();
  Arm();
}

DnsTcpClient::~DnsTcpClient() {
  host_.loop.Cancel(timer_);
  HangUp();
  if (client_) host_.loop.Unwatch(client_.get());
}

// The only place where a client ends; nothing of it may be touched after.
void DnsTcpClient::Run(bool (DnsTcpClient::*step)(uint32_t), uint32_t events) {
  if (!(this->*step)(events)) host_.remove(this);
}

void DnsTcpClient::Arm() {
  host_.loop.Cancel(timer_);
  const auto delay = query_.empty() ? host_.options.idle : host_.options.timeout;
  timer_ = host_.loop.After(delay, [this] {
    if (!OnTimeout()) host_.remove(this);
  });
}

bool DnsTcpClient::OnTimeout() {
  if (query_.empty()) return false;  // idle, or does not take its answer
  Dial();
  return Proceed();
}

bool DnsTcpClient::OnClient(uint32_t events) {
  if ((events & EPOLLERR) != 0) return false;
  if ((events & EPOLLHUP) != 0 && (events & EPOLLIN) == 0) return false;
  if ((events & EPOLLIN) != 0 && !from_client_.Read(client_.get())) ended_ = true;
  if (query_.empty()) Arm();
  return Proceed();
}

bool DnsTcpClient::Proceed() {
  if (!client_ || !from_client_.Write(client_.get())) return false;
  while (query_.empty() && !from_client_.Unsent()) {
    auto query = from_client_.Take();
    if (!query && ended_) return false;
    if (!query) break;
    if (!Begin(std::move(*query))) return false;
    if (!from_client_.Write(client_.get())) return false;
  }
  // While a question is being asked nothing is read: the kernel keeps it, and the client waits.
  uint32_t events = 0;
  if (from_client_.Unsent())
    events = EPOLLOUT;
  else if (query_.empty())
    events = EPOLLIN;
  return host_.loop.Change(client_.get(), events).has_value();
}

bool DnsTcpClient::Begin(DnsBytes query) {
  const QueryCheck check = CheckQuery(query);
  host_.count(check == QueryCheck::kGood ? DnsEvent::kQuery : DnsEvent::kMalformed);
  if (check == QueryCheck::kDrop) return false;
  if (check != QueryCheck::kGood) {
    from_client_.Put(MakeDnsError(query, check == QueryCheck::kNotImplemented
                                             ? DnsError::kNotImplemented
                                             : DnsError::kFormat));
    return true;
  }
  client_id_ = DnsId(query);
  query_ = std::move(query);
  attempt_ = 0;
  Dial();
  return true;
}

void DnsTcpClient::Dial() {
  HangUp();
  const auto& resolvers = host_.options.resolvers;
  const size_t most = resolvers.size() * static_cast<size_t>(host_.options.rounds);
  while (attempt_ < most) {
    auto socket =
        DialResolver(SOCK_STREAM, resolvers[attempt_++ % resolvers.size()], host_.options.source);
    if (!socket) continue;
    SetDnsId(query_, RandomDnsId());
    from_upstream_ = {};
    from_upstream_.Put(query_);
    if (!host_.loop.Watch(socket->get(), EPOLLIN | EPOLLOUT,
                          [this](uint32_t events) { Run(&DnsTcpClient::OnUpstream, events); }))
      continue;
    upstream_ = std::move(*socket);
    Arm();
    return;
  }
  SetDnsId(query_, client_id_);
  host_.count(DnsEvent::kFailure);
  Answer(MakeDnsError(query_, DnsError::kServerFailure));
}

bool DnsTcpClient::OnUpstream(uint32_t events) {
  const int fd = upstream_.get();
  bool alive = from_upstream_.Write(fd);
  if (!from_upstream_.Unsent()) alive = host_.loop.Change(fd, EPOLLIN).has_value() && alive;
  if ((events & EPOLLIN) != 0) alive = from_upstream_.Read(fd) && alive;
  if (auto answer = from_upstream_.Take()) {
    if (IsAnswerTo(*answer, query_)) {
      SetDnsId(*answer, client_id_);
      host_.count(DnsEvent::kAnswer);
      Answer(std::move(*answer));
      return Proceed();
    }
    host_.count(DnsEvent::kForged);
    alive = false;  // a stream that says something else says nothing useful
  }
  if (alive && (events & (EPOLLERR | EPOLLHUP)) == 0) return true;
  Dial();
  return Proceed();
}

void DnsTcpClient::Answer(DnsBytes answer) {
  HangUp();
  query_.clear();
  from_client_.Put(answer);
  Arm();
}

void DnsTcpClient::HangUp() {
  if (!upstream_) return;
  host_.loop.Unwatch(upstream_.get());
  upstream_.Reset();
}

}  // namespace bailey::netproxy
