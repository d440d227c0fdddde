#include "netproxy/datagrams.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstring>
#include <optional>

#include "base/log.h"
#include "netproxy/raw_packet.h"

namespace bailey::netproxy {
namespace {

constexpr int kDatagramsPerTurn = 64;

// Where the sender meant it to go: IP_RECVORIGDSTADDR.
std::optional<Endpoint> OriginalDestination(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    const bool v4 = c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR;
    const bool v6 = c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR;
    if (!v4 && !v6) continue;
    sockaddr_storage address{};
    std::memcpy(&address, CMSG_DATA(c), v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
    return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  }
  return std::nullopt;
}

}  // namespace

Status Datagrams::Serve(int capturing, int raw) {
  return loop_.Watch(capturing, EPOLLIN,
                     [this, capturing, raw](uint32_t) { OnReadable(capturing, raw); });
}

void Datagrams::OnReadable(int capturing, int raw) {
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    sockaddr_storage sender{};
    alignas(cmsghdr) std::array<char, 256> control{};
    iovec data{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(capturing, &message, MSG_DONTWAIT);
    if (got < 0) return;
    const auto to = OriginalDestination(message);
    if (!to) continue;
    OnDatagram(raw, Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&sender)), *to,
               {buffer_.data(), static_cast<size_t>(got)});
  }
}

void Datagrams::OnDatagram(int raw, const Endpoint& from, const Endpoint& to, Bytes payload) {
  if (!gatekeeper_.SourceIsTenants(from.address)) return;
  if (gatekeeper_.IsDnsStub(to)) return AskDns(raw, from, to, payload);
  if (flows_.Has(from, to) || gatekeeper_.AllowsUdp(to))
    return flows_.Forward(raw, from, to, payload);
  SendRawUnreachable(raw, Unreachable::kProhibited, from, to);
}

void Datagrams::AskDns(int raw, const Endpoint& from, const Endpoint& to, Bytes query) {
  ask_dns_(query, [raw, from, to](Bytes answer) {
    if (const Status sent = SendRawDatagram(raw, to, from, answer); !sent)
      LogWarning(sent.error().Message());
  });
}

}  // namespace bailey::netproxy
