// DnsStub: answers the tenant's DNS queries by asking the host's resolvers, from unprivileged
// sockets of the host's network namespace. Messages go through as they are but for the id.
//
// Against forged answers (RFC 5452): a socket of its own per query and attempt, with the kernel's
// random port, connected (only the resolver's address gets through), an id from getrandom(2), and
// the question must be repeated. A wrong answer is counted and ignored.
//
// A resolver that refuses (nobody is there: it is being restarted) is asked again until silence
// would have been given up, so its restart costs the tenant some of that time and no answer.
//
// Needs no file: only socket, bind, connect, send, recv, epoll_ctl, close, getrandom, so it runs
// behind the proxy's seccomp filter. Runs on the loop's thread. Callbacks may call back in.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"
#include "netproxy/dns_message.h"

namespace bailey::netproxy {

enum class DnsEvent : uint8_t {
  kQuery,      // taken from the tenant
  kAnswer,     // given to the tenant, whatever it says
  kFailure,    // no resolver answered: SERVFAIL
  kMalformed,  // dropped or answered with FORMERR or NOTIMP
  kForged,     // an answer that is none to the question asked
  kCrowded,    // the oldest query dropped for a new one, or a connection refused: too many
};

struct DnsStubOptions {
  std::vector<Endpoint> resolvers;          // asked in this order; none: every query fails
  std::optional<IpAddress> source;          // bind here; nullopt: the host's choice
  std::chrono::milliseconds timeout{2000};  // for one resolver, before the next is asked
  int rounds = 2;                           // through the whole list
  size_t max_queries = 256;                 // UDP, outstanding: one descriptor each
  size_t max_connections = 32;              // TCP, from the tenant: two descriptors each
  std::chrono::milliseconds idle{10'000};   // a TCP client that says nothing is closed
};

class DnsTcpClient;

class DnsStub {
 public:
  using Reply = std::function<void(DnsView answer)>;

  // `loop` must outlive the stub. `count` may be empty.
  DnsStub(EventLoop& loop, DnsStubOptions options, std::function<void(DnsEvent)> count);
  ~DnsStub();
  DnsStub(const DnsStub&) = delete;
  DnsStub& operator=(const DnsStub&) = delete;

  // One UDP query. `reply` is called at most once, perhaps from within; never for a query that is
  // dropped (malformed beyond an answer, or crowded out).
  void Ask(DnsView query, Reply reply);
  // A TCP connection of the tenant's, blocking or not: served until it closes, fails or idles.
  void Serve(UniqueFd connection);

  // For queries from now on.
  void SetResolvers(std::vector<Endpoint> resolvers);
  size_t outstanding() const { return queries_.size(); }
  size_t connections() const { return clients_.size(); }

 private:
  struct Query;
  using QueryId = uint64_t;

  void Count(DnsEvent event) const;
  void Attempt(Query& query);
  void OnReadable(QueryId id);
  void Finish(QueryId id, const DnsBytes& answer);
  void Close(Query& query);
  void Forget(QueryId id);

  EventLoop& loop_;
  DnsStubOptions options_;
  std::function<void(DnsEvent)> count_;
  QueryId next_ = 1;
  std::list<QueryId> order_;  // the oldest first
  std::unordered_map<QueryId, std::unique_ptr<Query>> queries_;
  std::list<std::unique_ptr<DnsTcpClient>> clients_;
};

}  // namespace bailey::netproxy
