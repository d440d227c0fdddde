#include "netproxy/dns_stub.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "netproxy/dns_socket.h"
#include "netproxy/dns_tcp_client.h"

namespace bailey::netproxy {

namespace {

// All resolvers have refused: they are being restarted, as likely as not.
constexpr std::chrono::milliseconds kAwaitRestart{100};

}  // namespace

struct DnsStub::Query {
  QueryId id;
  std::list<QueryId>::iterator place;  // in order_
  DnsBytes message;                    // with an id of ours
  uint16_t client_id;
  Reply reply;
  EventLoop::Clock::time_point give_up;  // when all refuse; silence takes as long
  size_t attempt = 0;
  UniqueFd socket;
  EventLoop::TimerId timer = 0;
};

DnsStub::DnsStub(EventLoop& loop, DnsStubOptions options, std::function<void(DnsEvent)> count)
    : loop_(loop), options_(std::move(options)), count_(std::move(count)) {}

DnsStub::~DnsStub() {
  while (!order_.empty()) Forget(order_.front());
}

void DnsStub::Count(DnsEvent event) const {
  if (count_) count_(event);
}

void DnsStub::SetResolvers(std::vector<Endpoint> resolvers) {
  options_.resolvers = std::move(resolvers);
}

void DnsStub::Ask(DnsView message, Reply reply) {
  const QueryCheck check = CheckQuery(message);
  Count(check == QueryCheck::kGood ? DnsEvent::kQuery : DnsEvent::kMalformed);
  if (check == QueryCheck::kDrop) return;
  if (check == QueryCheck::kFormatError) return reply(MakeDnsError(message, DnsError::kFormat));
  if (check == QueryCheck::kNotImplemented)
    return reply(MakeDnsError(message, DnsError::kNotImplemented));
  if (queries_.size() >= options_.max_queries) {
    Count(DnsEvent::kCrowded);
    Forget(order_.front());
  }
  const QueryId id = next_++;
  order_.push_back(id);
  auto query = std::make_unique<Query>(
      Query{.id = id,
            .place = std::prev(order_.end()),
            .message = DnsBytes(message.begin(), message.end()),
            .client_id = DnsId(message),
            .reply = std::move(reply),
            .give_up = EventLoop::Clock::now() + options_.timeout * options_.rounds});
  Attempt(*queries_.emplace(id, std::move(query)).first->second);
}

// Asks the next resolver; ends the query when all have been tried for long enough.
void DnsStub::Attempt(Query& query) {
  Close(query);
  const QueryId id = query.id;
  const size_t most = options_.resolvers.size() * static_cast<size_t>(options_.rounds);
  while (query.attempt < most) {
    const Endpoint& resolver = options_.resolvers[query.attempt++ % options_.resolvers.size()];
    auto socket = DialResolver(SOCK_DGRAM, resolver, options_.source);
    if (!socket) continue;
    SetDnsId(query.message, RandomDnsId());
    if (::send(socket->get(), query.message.data(), query.message.size(), MSG_NOSIGNAL) < 0)
      continue;
    if (!loop_.Watch(socket->get(), EPOLLIN, [this, id](uint32_t) { OnReadable(id); })) continue;
    query.socket = std::move(*socket);
    query.timer = loop_.After(options_.timeout, [this, id] { Attempt(*queries_.at(id)); });
    return;
  }
  if (most != 0 && EventLoop::Clock::now() < query.give_up) {
    query.attempt = 0;
    query.timer = loop_.After(kAwaitRestart, [this, id] { Attempt(*queries_.at(id)); });
    return;
  }
  SetDnsId(query.message, query.client_id);
  Count(DnsEvent::kFailure);
  Finish(id, MakeDnsError(query.message, DnsError::kServerFailure));
}

void DnsStub::OnReadable(QueryId id) {
  Query& query = *queries_.at(id);
  std::array<uint8_t, kMaxDnsMessageBytes> buffer;
  while (true) {
    const ssize_t got = ::recv(query.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0) return Attempt(query);  // ICMP says that nobody is there
    const DnsView answer(buffer.data(), static_cast<size_t>(got));
    if (!IsAnswerTo(answer, query.message)) {
      Count(DnsEvent::kForged);
      continue;
    }
    DnsBytes restored(answer.begin(), answer.end());
    SetDnsId(restored, query.client_id);
    Count(DnsEvent::kAnswer);
    return Finish(id, restored);
  }
}

// The query is gone before its owner hears of it, who may ask again at once.
void DnsStub::Finish(QueryId id, const DnsBytes& answer) {
  const Reply reply = std::move(queries_.at(id)->reply);
  Forget(id);
  reply(answer);
}

void DnsStub::Close(Query& query) {
  loop_.Cancel(query.timer);
  if (query.socket) loop_.Unwatch(query.socket.get());
  query.socket.Reset();
}

void DnsStub::Forget(QueryId id) {
  const auto found = queries_.find(id);
  Close(*found->second);
  order_.erase(found->second->place);
  queries_.erase(found);
}

void DnsStub::Serve(UniqueFd connection) {
  if (clients_.size() >= options_.max_connections) return Count(DnsEvent::kCrowded);
  clients_.push_back(std::make_unique<DnsTcpClient>(
      DnsTcpClient::Host{loop_, options_, [this](DnsEvent event) { Count(event); },
                         [this](DnsTcpClient* client) {
                           clients_.remove_if(
                               [client](const auto& each) { return each.get() == client; });
                         }},
      std::move(connection)));
}

}  // namespace bailey::netproxy
