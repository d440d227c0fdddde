// AcceptSocket: one connection from a listening socket, with both of its addresses.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <optional>

#include "base/ip_address.h"
#include "base/unique_fd.h"

namespace bailey::netproxy {

struct AcceptedSocket {
  UniqueFd fd;
  Endpoint from;  // the peer
  Endpoint to;    // where it wanted to go: AnyIP makes this the original destination
};

// How long to leave a listener alone whose connections the kernel has no descriptor or memory for:
// they stay in its queue, and so it stays readable.
inline constexpr std::chrono::milliseconds kExhaustedPause{100};
inline bool IsExhausted(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// Non-blocking; nullopt and errno when nothing waits, or IsExhausted(errno).
inline std::optional<AcceptedSocket> AcceptSocket(int listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  AcceptedSocket accepted;
  accepted.fd.Reset(::accept4(listener, reinterpret_cast<sockaddr*>(&address), &size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!accepted.fd) return std::nullopt;
  accepted.from = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  size = sizeof address;
  if (::getsockname(accepted.fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return std::nullopt;
  accepted.to = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  return accepted;
}

}  // namespace bailey::netproxy
