// DnsFrames: DNS messages over one TCP connection, each behind its length (RFC 1035, 4.2.2).
// Not the owner of the descriptor. Never blocks.
#pragma once

#include <optional>

#include "netproxy/dns_message.h"

namespace bailey::netproxy {

class DnsFrames {
 public:
  // False: the peer has closed or the connection has failed; what was read before can be taken.
  // Reads no more than what makes one message complete.
  bool Read(int fd);
  // The next complete message.
  std::optional<DnsBytes> Take();

  void Put(DnsView message);  // of at most kMaxDnsMessageBytes
  bool Write(int fd);         // as much as goes; false: the connection has failed
  bool Unsent() const { return !outgoing_.empty(); }

 private:
  size_t Missing() const;  // bytes until a message (or its length) is complete

  DnsBytes incoming_, outgoing_;
};

}  // namespace bailey::netproxy
