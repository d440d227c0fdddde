// SocketDiag: which sockets wait for strangers in one network namespace: TCP sockets that listen,
// UDP sockets that have a port. sock_diag(7), no privilege needed. Synchronous: the kernel answers
// a request while it is being sent. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/ip_address.h"
#include "base/publish_rule.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::netproxy {

struct ListeningSocket {
  uint64_t cookie = 0;
  Endpoint place;  // as bound: 0.0.0.0 or :: for the wildcard
  bool v6_only = false;
  uint32_t uid = 0;  // its owner, as the host numbers them
};

class SocketDiag {
 public:
  // `fd`: a NETLINK_SOCK_DIAG socket, which stays in the namespace that it was made in; borrowed.
  // `interface`: where strangers come from, by its index; 0: anywhere. A listener that is bound to
  // an interface is found by that one alone.
  explicit SocketDiag(int fd, uint32_t interface = 0) : fd_(fd), interface_(interface) {}

  // All of one transport, of both families; with `port`, those at that port.
  Result<std::vector<ListeningSocket>> Listeners(Transport transport, uint16_t port = 0) const;
  // The one that a stranger who turns to `place` would reach; ENOENT if he would be refused.
  Result<ListeningSocket> ListenerFor(Transport transport, const Endpoint& place) const;
  // The UDP socket that takes what `from` sends to `place`, which may be connected to him; ENOENT.
  Result<ListeningSocket> ReceiverOf(const Endpoint& from, const Endpoint& place) const;

 private:
  struct Query;
  Result<ListeningSocket> Find(const Query& query) const;
  Status Dump(int family, PublishedPort port, std::vector<ListeningSocket>& out) const;

  int fd_;
  uint32_t interface_;
};

}  // namespace bailey::netproxy
