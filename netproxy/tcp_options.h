// What the proxy sets on TCP sockets. All of it is advice to the kernel: failures are ignored,
// except where a Status says otherwise.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace bailey::netproxy {

inline void SetFlag(int fd, int level, int option, int value = 1) {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

inline constexpr int kKeepaliveProbes = 6;

// Delay belongs to the two ends, not to the middle; a peer that has vanished must not hold a relay
// for ever; urgent bytes go through in line, at their place.
inline void SetRelayOptions(int fd) {
  SetFlag(fd, IPPROTO_TCP, TCP_NODELAY);
  SetFlag(fd, SOL_SOCKET, SO_OOBINLINE);
  SetFlag(fd, SOL_SOCKET, SO_KEEPALIVE);
  SetFlag(fd, IPPROTO_TCP, TCP_KEEPIDLE, 300);
  SetFlag(fd, IPPROTO_TCP, TCP_KEEPINTVL, 30);
  SetFlag(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);  // last: HasRelayOptions
}

// An accepted socket inherits them from its listener, unless its connection was there before them.
inline bool HasRelayOptions(int fd) {
  int probes = 0;
  socklen_t size = sizeof probes;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, &size) == 0 &&
         probes == kKeepaliveProbes;
}

// close(2) will send a reset instead of an end of file.
inline void ResetOnClose(int fd) {
  const linger at_once{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// Takes the pending error of a socket; 0 if there is none.
inline int SocketError(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : 0;
}

}  // namespace bailey::netproxy
