#include "netproxy/dns_socket.h"

#include <sys/random.h>
#include <sys/socket.h>

#include "base/log.h"

namespace bailey::netproxy {

Result<UniqueFd> DialResolver(int type, const Endpoint& resolver,
                              const std::optional<IpAddress>& source) {
  const int family = resolver.address.family();
  UniqueFd socket(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return Errno("socket for " + resolver.ToString());
  sockaddr_storage address{};
  if (source && source->family() == family) {
    const socklen_t length = Endpoint{*source, 0}.ToSockaddr(&address);
    if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0)
      return Errno("bind " + source->ToString());
  }
  const socklen_t length = resolver.ToSockaddr(&address);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 &&
      errno != EINPROGRESS)
    return Errno("connect " + resolver.ToString());
  return socket;
}

uint16_t RandomDnsId() {
  uint16_t id = 0;
  BAILEY_CHECK(::getrandom(&id, sizeof id, 0) == sizeof id);
  return id;
}

}  // namespace bailey::netproxy
