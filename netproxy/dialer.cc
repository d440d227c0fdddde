#include "netproxy/dialer.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

namespace bailey::netproxy {

Result<UniqueFd> Dial(const IpAddress& source, const Endpoint& to, int type) {
  UniqueFd fd(::socket(to.address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Errno("socket");
  // The port is chosen at connect(2), when the whole quadruple is known: 60,000 connections per
  // destination, not per tenant.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  sockaddr_storage address{};
  socklen_t size = Endpoint{source, 0}.ToSockaddr(&address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0)
    return Errno("bind to " + source.ToString());
  size = to.ToSockaddr(&address);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 && errno != EINPROGRESS)
    return Errno("connect to " + to.ToString());
  size = sizeof address;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return Errno("getsockname");
  if (Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address)).address != source)
    return Errno("source of " + to.ToString(), EXDEV);
  return fd;
}

}  // namespace bailey::netproxy
