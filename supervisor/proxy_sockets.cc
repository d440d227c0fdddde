#include "supervisor/proxy_sockets.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/namespaces.h"

namespace bailey::supervisor {
namespace {

constexpr int kBacklog = 4096;  // net.core.somaxconn's default; the kernel takes the lesser

Result<UniqueFd> NewSocket(int family, int type) {
  UniqueFd socket(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Errno("socket");
  return socket;
}

Status Set(const UniqueFd& socket, int level, int option, const char* name) {
  const int on = 1;
  if (::setsockopt(socket.get(), level, option, &on, sizeof on) != 0) return Errno(name);
  return {};
}

Result<UniqueFd> Bind(const IpAddress& ip, PublishedPort port) {
  const bool tcp = port.transport == Transport::kTcp;
  auto socket = NewSocket(ip.family(), tcp ? SOCK_STREAM : SOCK_DGRAM);
  if (!socket) return socket.error();
  const Endpoint endpoint{ip, port.port};
  // Connections of an earlier run in TIME_WAIT must not hold the port. With UDP the option would
  // let others have it as well.
  if (tcp) BAILEY_TRY(Set(*socket, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"));
  if (ip.is_v6()) BAILEY_TRY(Set(*socket, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY"));
  sockaddr_storage address{};
  const socklen_t length = endpoint.ToSockaddr(&address);
  if (::bind(socket->get(), reinterpret_cast<const sockaddr*>(&address), length) != 0)
    return Errno("bind " + endpoint.ToString());
  return socket;
}

}  // namespace

Status CheckNobodyListens(const IpAddress& ip, uint16_t port) {
  const auto bound = Bind(ip, {Transport::kTcp, port});
  return bound ? Status() : Status(bound.error());
}

Result<UniqueFd> MakePublishedSocket(const IpAddress& ip, PublishedPort port, uint32_t owner) {
  auto socket = Bind(ip, port);
  if (!socket) return socket;
  if (::fchown(socket->get(), owner, static_cast<gid_t>(-1)) != 0)
    return Errno("fchown of a listener");
  if (port.transport == Transport::kTcp && ::listen(socket->get(), kBacklog) != 0)
    return Errno("listen " + Endpoint{ip, port.port}.ToString());
  return socket;
}

Status Silence(Transport transport, int socket) {
  if (transport == Transport::kTcp) {
    // ENOTCONN: it was shut before.
    if (::shutdown(socket, SHUT_RDWR) != 0 && errno != ENOTCONN) return Errno("shutdown");
    return {};
  }
  sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog nothing{1, &drop};
  const int on = 1;
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &nothing, sizeof nothing) != 0)
    return Errno("SO_ATTACH_FILTER");
  if (::setsockopt(socket, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) != 0)
    return Errno("SO_LOCK_FILTER");
  return {};
}

Result<std::vector<UniqueFd>> MakeInsideSockets(int netns, int family, size_t count) {
  const auto scope = NetnsScope::Enter(netns);
  if (!scope) return scope.error();
  std::vector<UniqueFd> sockets;
  for (size_t i = 0; i < count; ++i) {
    auto socket = NewSocket(family, SOCK_STREAM);
    if (!socket) return socket.error();
    // Either level's option sets the same bit; v6 sockets take v6's.
    if (family == AF_INET6)
      BAILEY_TRY(Set(*socket, IPPROTO_IPV6, IPV6_TRANSPARENT, "IPV6_TRANSPARENT"));
    else
      BAILEY_TRY(Set(*socket, IPPROTO_IP, IP_TRANSPARENT, "IP_TRANSPARENT"));
    sockets.push_back(std::move(*socket));
  }
  return sockets;
}

}  // namespace bailey::supervisor
