#include "netproxy/socket_diag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace bailey::netproxy {
namespace {

constexpr size_t kBuffer = size_t{32} * 1024;

const char* Payload(const nlmsghdr& header) {
  return reinterpret_cast<const char*>(&header) + NLMSG_HDRLEN;
}

struct Request {
  nlmsghdr header{};
  inet_diag_req_v2 body{};
};

// A UDP socket is "closed" until it is connected. A connected one keeps its port.
constexpr uint32_t kTcpStates = 1U << TCP_LISTEN;
constexpr uint32_t kUdpStates = 1U << TCP_CLOSE | 1U << TCP_ESTABLISHED;

Request MakeRequest(int family, Transport transport, uint16_t flags) {
  Request request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  request.body.sdiag_family = static_cast<uint8_t>(family);
  const bool tcp = transport == Transport::kTcp;
  request.body.sdiag_protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
  request.body.idiag_states = tcp ? kTcpStates : kUdpStates;
  request.body.id.idiag_cookie[0] = request.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return request;
}

IpAddress AddressOf(uint8_t family, const __be32* words) {
  if (family != AF_INET6) return IpAddress::V4(ntohl(words[0]));
  std::array<uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), words, bytes.size());
  return IpAddress::V6(bytes);
}

ListeningSocket Read(const nlmsghdr& header) {
  inet_diag_msg message{};
  std::memcpy(&message, Payload(header), sizeof message);
  ListeningSocket socket;
  socket.cookie = uint64_t{message.id.idiag_cookie[1]} << 32 | message.id.idiag_cookie[0];
  socket.place = {AddressOf(message.idiag_family, message.id.idiag_src),
                  ntohs(message.id.idiag_sport)};
  socket.uid = message.idiag_uid;
  const auto* at = Payload(header) + NLMSG_ALIGN(sizeof message);
  const char* const end = reinterpret_cast<const char*>(&header) + header.nlmsg_len;
  while (at + sizeof(rtattr) <= end) {
    rtattr attribute{};
    std::memcpy(&attribute, at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > end) break;
    if (attribute.rta_type == INET_DIAG_SKV6ONLY && attribute.rta_len > RTA_LENGTH(0))
      socket.v6_only = at[RTA_LENGTH(0)] != 0;
    at += RTA_ALIGN(attribute.rta_len);
  }
  return socket;
}

Status Send(int fd, const Request& request) {
  // What an interrupted dump has left behind.
  std::array<char, kBuffer> stale;
  while (::recv(fd, stale.data(), stale.size(), MSG_DONTWAIT) > 0) {
  }
  if (::send(fd, &request, sizeof request, 0) != sizeof request) return Errno("sock_diag request");
  return {};
}

// ENOENT: nobody in the kernel answers for it.
const char* Missing(Transport transport) {
  return transport == Transport::kTcp
             ? "sock_diag of TCP (load the modules inet_diag and tcp_diag)"
             : "sock_diag of UDP (load the modules inet_diag and udp_diag)";
}

// Calls `each` for every message of one answer; true once it is complete.
template <class Each>
Result<bool> ReceiveSome(int fd, Transport transport, Each each) {
  alignas(nlmsghdr) std::array<char, kBuffer> buffer;
  const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (got < 0) return Errno("sock_diag answer");
  auto left = static_cast<unsigned>(got);
  for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
       header = NLMSG_NEXT(header, left)) {
    if (header->nlmsg_type == NLMSG_DONE) return true;
    if (header->nlmsg_type == NLMSG_ERROR) {
      nlmsgerr error{};
      std::memcpy(&error, Payload(*header), sizeof error);
      return Errno(error.error == -ENOENT ? Missing(transport) : "sock_diag", -error.error);
    }
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) return Errno("sock_diag", EPROTO);
    each(*header);
    if ((header->nlmsg_flags & NLM_F_MULTI) == 0) return true;
  }
  return false;
}

}  // namespace

Status SocketDiag::Dump(int family, PublishedPort port, std::vector<ListeningSocket>& out) const {
  Request request = MakeRequest(family, port.transport, NLM_F_DUMP);
  request.body.id.idiag_sport = htons(port.port);
  BAILEY_TRY(Send(fd_, request));
  for (;;) {
    auto complete =
        ReceiveSome(fd_, port.transport, [&](const nlmsghdr& each) { out.push_back(Read(each)); });
    if (!complete) return complete.error();
    if (*complete) return {};
  }
}

Result<std::vector<ListeningSocket>> SocketDiag::Listeners(Transport transport,
                                                           uint16_t port) const {
  std::vector<ListeningSocket> all;
  BAILEY_TRY(Dump(AF_INET, {transport, port}, all));
  BAILEY_TRY(Dump(AF_INET6, {transport, port}, all));
  return all;
}

struct SocketDiag::Query {
  Transport transport;
  Endpoint from, place;
  uint32_t states;
};

Result<ListeningSocket> SocketDiag::Find(const Query& query) const {
  const auto& [transport, from, place, of_states] = query;
  const uint32_t states = of_states;  // a lambda may not capture a binding, says clang
  const bool tcp = transport == Transport::kTcp;
  Request request = MakeRequest(place.address.family(), transport, 0);
  // The "source" of a socket is its own side; udp_diag has them swapped in this one request.
  inet_diag_sockid& id = request.body.id;
  id.idiag_if = interface_;
  const auto bytes = static_cast<size_t>(place.address.bits() / 8);
  std::memcpy(tcp ? id.idiag_src : id.idiag_dst, place.address.bytes().data(), bytes);
  std::memcpy(tcp ? id.idiag_dst : id.idiag_src, from.address.bytes().data(), bytes);
  (tcp ? id.idiag_sport : id.idiag_dport) = htons(place.port);
  (tcp ? id.idiag_dport : id.idiag_sport) = htons(from.port);
  BAILEY_TRY(Send(fd_, request));
  ListeningSocket found;
  bool waits = false;
  auto complete = ReceiveSome(fd_, transport, [&](const nlmsghdr& each) {
    found = Read(each);
    inet_diag_msg message{};
    std::memcpy(&message, Payload(each), sizeof message);
    waits = (1U << message.idiag_state & states) != 0;
  });
  if (!complete) return complete.error();
  if (!waits) return Errno("listener at " + place.ToString(), ENOENT);
  return found;
}

Result<ListeningSocket> SocketDiag::ListenerFor(Transport transport, const Endpoint& place) const {
  const Endpoint stranger{place.address.is_v6() ? IpAddress::V6({}) : IpAddress::V4(0), 0};
  return Find({transport, stranger, place,
               transport == Transport::kTcp ? kTcpStates : uint32_t{1U << TCP_CLOSE}});
}

Result<ListeningSocket> SocketDiag::ReceiverOf(const Endpoint& from, const Endpoint& place) const {
  return Find({Transport::kUdp, from, place, kUdpStates});
}

}  // namespace bailey::netproxy
