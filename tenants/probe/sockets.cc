// Kinds of sockets that would go past the proxy, and options that would lie about the address.
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tenants/probe/report.h"
#include "tenants/probe/socket_address.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "sockets";

struct Kind {
  const char* name;
  int family, type, protocol;
};
constexpr int kEthernetAll = 0x0300;  // htons(ETH_P_ALL)
constexpr auto kRefused = std::to_array<Kind>({
    {"a packet socket", AF_PACKET, SOCK_RAW, kEthernetAll},
    {"a packet socket, cooked", AF_PACKET, SOCK_DGRAM, kEthernetAll},
    {"a vsock to the hypervisor", AF_VSOCK, SOCK_STREAM, 0},
    {"a crypto socket", AF_ALG, SOCK_SEQPACKET, 0},
    {"an XDP socket", AF_XDP, SOCK_RAW, 0},
    {"a Bluetooth socket", AF_BLUETOOTH, SOCK_RAW, 1},
    {"a CAN socket", AF_CAN, SOCK_RAW, 1},
    {"a TIPC socket", AF_TIPC, SOCK_RDM, 0},
    {"netlink: netfilter", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER},
    {"netlink: audit", AF_NETLINK, SOCK_RAW, NETLINK_AUDIT},
    {"netlink: generic", AF_NETLINK, SOCK_RAW, NETLINK_GENERIC},
    {"netlink: the host's uevents", AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT},
    {"netlink: IPsec", AF_NETLINK, SOCK_RAW, NETLINK_XFRM},
    {"SCTP", AF_INET, SOCK_STREAM, IPPROTO_SCTP},
});
constexpr auto kRaw = std::to_array<Kind>({
    {"a raw IPv4 socket", AF_INET, SOCK_RAW, IPPROTO_ICMP},
    {"a raw IPv4 socket with own headers", AF_INET, SOCK_RAW, IPPROTO_RAW},
    {"a raw IPv6 socket", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6},
});

int SetOption(int level, int option) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  return socket < 0 ? errno : ResultOf(::setsockopt(socket, level, option, &one, sizeof one));
}

int Bind(const std::string& ip, bool free) {
  const SocketAddress address = AddressOf(ip, 0);
  const int socket = ::socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  if (socket < 0) return errno;
  if (free && ::setsockopt(socket, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) != 0) return errno;
  return ResultOf(::bind(socket, address.get(), address.length));
}

// Free binding itself is anybody's right; the route decides that nothing leaves that way.
int SendFrom(const std::string& ip, const std::string& to) {
  const SocketAddress from = AddressOf(ip, 0), address = AddressOf(to, 9);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  if (socket < 0) return errno;
  if (::setsockopt(socket, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) != 0) return errno;
  if (::bind(socket, from.get(), from.length) != 0) return errno;
  return ResultOf(::sendto(socket, "", 0, MSG_DONTWAIT, address.get(), address.length));
}

int Make(const Kind& kind) {
  return ResultOf(::socket(kind.family, kind.type | SOCK_CLOEXEC, kind.protocol));
}

}  // namespace

void TrySockets(Report& report, const Options& options) {
  for (const Kind& kind : kRefused)
    report.Denied(kWall, kind.name, {EPERM, EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT},
                  [&kind] { return Make(kind); });
  for (const Kind& kind : kRaw) {
    if (options.allow_raw_sockets) break;
    report.Denied(kWall, kind.name, {EPERM}, [&kind] { return Make(kind); });
  }
  report.Denied(kWall, "a transparent socket", {EPERM},
                [] { return SetOption(IPPROTO_IP, IP_TRANSPARENT); });
  report.Denied(kWall, "a firewall mark", {EPERM}, [] { return SetOption(SOL_SOCKET, SO_MARK); });
  // 203.0.113.0/24 and 192.0.2.0/24 are nobody's: RFC 5737.
  const std::string other = options.ip == "203.0.113.77" ? "203.0.113.78" : "203.0.113.77";
  report.Denied(kWall, "bind a second address", {EADDRNOTAVAIL, EACCES, EPERM},
                [&other] { return Bind(other, false); });
  report.Denied(kWall, "send from a second address",
                {ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES, EPERM, EADDRNOTAVAIL},
                [&other] { return SendFrom(other, "192.0.2.1"); });
  report.Denied(kWall, "send from another's 127.0.0.0/8 address to the world",
                {EINVAL, ENETUNREACH, EHOSTUNREACH, EACCES, EPERM, EADDRNOTAVAIL},
                [] { return SendFrom("127.77.255.254", "192.0.2.1"); });
}

}  // namespace bailey::probe
