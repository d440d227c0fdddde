#include "netproxy/inside_sockets.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/namespaces.h"
#include "netproxy/bpf_programs.h"

namespace bailey::netproxy {
namespace {

constexpr uint16_t kPort = 65535;
constexpr int kBacklog = 4096;
constexpr int kDatagramBuffer = 1 << 20;  // bursts of all sockets of the tenant meet in one

// Nobody's addresses (RFC 7600's dummy, RFC 6666's discard prefix): never the tenant's, so that
// the ordinary lookup cannot find these sockets, nor a bind of the tenant's conflict with them.
Endpoint Place(int family) {
  return {*IpAddress::Parse(family == AF_INET6 ? "100::8" : "192.0.0.8"), kPort};
}

Status SetOption(int fd, int level, int option, const char* what) {
  const int on = 1;
  if (::setsockopt(fd, level, option, &on, sizeof on) != 0) return Errno(what);
  return {};
}

Result<UniqueFd> CapturingSocket(int family, int type) {
  UniqueFd fd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Errno("socket inside");
  const bool v6 = family == AF_INET6;
  BAILEY_TRY(SetOption(fd.get(), v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT,
                       "IP_TRANSPARENT"));
  // Inherited by accepted sockets, which occupy the remote port's number: without it, a connection
  // to some :443 would keep the tenant from listening on 443.
  BAILEY_TRY(SetOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"));
  if (type == SOCK_DGRAM) {
    const int bytes = kDatagramBuffer;
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
      return Errno("SO_RCVBUFFORCE");
    BAILEY_TRY(SetOption(fd.get(), v6 ? SOL_IPV6 : SOL_IP,
                         v6 ? IPV6_RECVORIGDSTADDR : IP_RECVORIGDSTADDR, "IP_RECVORIGDSTADDR"));
  }
  sockaddr_storage address{};
  const socklen_t size = Place(family).ToSockaddr(&address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0)
    return Errno("bind inside");
  if (type == SOCK_STREAM && ::listen(fd.get(), kBacklog) != 0) return Errno("listen inside");
  return fd;
}

// By it the supervisor's guard knows that what they send stays inside, whoever it is sent as.
Status Mark(const UniqueFd& fd) {
  const uint32_t mark = BAILEY_RAW_MARK;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) return Errno("SO_MARK");
  return {};
}

Status MakeFamily(int family, KeptFds& kept) {
  const bool v6 = family == AF_INET6;
  auto tcp = CapturingSocket(family, SOCK_STREAM);
  if (!tcp) return tcp.error();
  auto udp = CapturingSocket(family, SOCK_DGRAM);
  if (!udp) return udp.error();
  // Sends with any source; IPPROTO_RAW receives nothing.
  UniqueFd raw(::socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
  if (!raw) return Errno("raw socket inside");
  for (const UniqueFd* each : {&*tcp, &*udp, &raw}) BAILEY_TRY(Mark(*each));
  BAILEY_TRY(SetProxySocket(kept, v6 ? BAILEY_TCP6 : BAILEY_TCP4, tcp->get()));
  BAILEY_TRY(SetProxySocket(kept, v6 ? BAILEY_UDP6 : BAILEY_UDP4, udp->get()));
  BAILEY_TRY(kept.Add(v6 ? kTcp6 : kTcp4, std::move(*tcp)));
  BAILEY_TRY(kept.Add(v6 ? kUdp6 : kUdp4, std::move(*udp)));
  return kept.Add(v6 ? kRaw6 : kRaw4, std::move(raw));
}

}  // namespace

std::vector<std::string> InsideFdNames(const IpAddress& tenant_ip) {
  std::vector<std::string> names = {kTcp4, kUdp4, kRaw4, kDiag};
  if (tenant_ip.is_v6()) names.insert(names.end(), {kTcp6, kUdp6, kRaw6});
  return names;
}

Status MakeInsideSockets(const IpAddress& tenant_ip, int netns, KeptFds& kept) {
  auto scope = NetnsScope::Enter(netns);
  if (!scope) return scope.error();
  BAILEY_TRY(MakeFamily(AF_INET, kept));
  if (tenant_ip.is_v6()) BAILEY_TRY(MakeFamily(AF_INET6, kept));
  UniqueFd diag(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!diag) return Errno("sock_diag inside");
  return kept.Add(kDiag, std::move(diag));
}

}  // namespace bailey::netproxy
