#include "netproxy/echoes.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/log.h"
#include "netproxy/packet_bytes.h"
#include "netproxy/raw_packet.h"

namespace bailey::netproxy {
namespace {

using std::chrono::seconds;
constexpr seconds kUnused{60}, kBetweenSweeps{20};
constexpr int kResponsesPerTurn = 64;
constexpr int kIcmpFilter = 1;     // ICMP_FILTER of linux/icmp.h
constexpr size_t kLongest = 4096;  // of an answer to BAILEY_ECHO_BYTES

Status OnlyResponses(int socket, bool v6) {
  if (v6) {
    icmp6_filter filter{};
    ICMP6_FILTER_SETBLOCKALL(&filter);
    for (const int type : {ICMP6_ECHO_REPLY, ICMP6_DST_UNREACH, ICMP6_PACKET_TOO_BIG,
                           ICMP6_TIME_EXCEEDED, ICMP6_PARAM_PROB})
      ICMP6_FILTER_SETPASS(type, &filter);
    if (::setsockopt(socket, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) != 0)
      return Errno("ICMP6_FILTER");
    const int on = 1;
    if (::setsockopt(socket, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on) != 0)
      return Errno("IPV6_RECVHOPLIMIT");
    return {};
  }
  const uint32_t blocked = ~(1U << ICMP_ECHOREPLY | 1U << ICMP_DEST_UNREACH |
                             1U << ICMP_TIME_EXCEEDED | 1U << ICMP_PARAMETERPROB);
  if (::setsockopt(socket, SOL_RAW, kIcmpFilter, &blocked, sizeof blocked) != 0)
    return Errno("ICMP_FILTER");
  return {};
}

// Sends with so many hops.
Status SendEcho(int socket, const IpAddress& to, uint8_t hops, std::span<const uint8_t> icmp) {
  sockaddr_storage address{};
  iovec part{const_cast<uint8_t*>(icmp.data()), icmp.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = Endpoint{to, 0}.ToSockaddr(&address);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const about = CMSG_FIRSTHDR(&message);
  about->cmsg_level = to.is_v6() ? SOL_IPV6 : SOL_IP;
  about->cmsg_type = to.is_v6() ? IPV6_HOPLIMIT : IP_TTL;
  about->cmsg_len = CMSG_LEN(sizeof(int));
  const int value = hops;
  std::memcpy(CMSG_DATA(about), &value, sizeof value);
  if (::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    return Errno("ping " + to.ToString());
  return {};
}

uint8_t HopLimit(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_IPV6 || c->cmsg_type != IPV6_HOPLIMIT) continue;
    int hops = 0;
    std::memcpy(&hops, CMSG_DATA(c), sizeof hops);
    return static_cast<uint8_t>(hops);
  }
  return 64;
}

}  // namespace

Result<UniqueFd> MakeEchoSocket(const IpAddress& tenant_ip) {
  const bool v6 = tenant_ip.is_v6();
  UniqueFd socket(::socket(tenant_ip.family(), SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                           v6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP)));
  if (!socket) return Errno("ICMP socket");
  BAILEY_TRY(OnlyResponses(socket.get(), v6));
  sockaddr_storage address{};
  const socklen_t size = Endpoint{tenant_ip, 0}.ToSockaddr(&address);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0)
    return Errno("bind the ICMP socket to " + tenant_ip.ToString());
  return socket;
}

Echoes::~Echoes() {
  loop_.Unwatch(sockets_.held.fd());
  loop_.Unwatch(sockets_.outside);
  loop_.Cancel(sweep_);
}

Status Echoes::Start() {
  BAILEY_TRY(loop_.Watch(sockets_.outside, EPOLLIN, [this](uint32_t) { OnReadable(); }));
  return loop_.Watch(sockets_.held.fd(), EPOLLIN, [this](uint32_t) {
    sockets_.held.Drain([this](std::span<const std::byte> record) { OnRequest(record); });
  });
}

void Echoes::OnRequest(std::span<const std::byte> record) {
  const auto request = EchoRequest::Parse(HeldPacket(record));
  if (!request || !gatekeeper_.SourceIsTenants(request->from)) return;
  const auto refuse = [&](Unreachable reason) {
    SendRawIcmp(sockets_.raw, reason, request->to, request->from, request->about);
  };
  const IpAddress& own = gatekeeper_.policy().config().ip;
  // The stub of an IPv6 tenant is reached over IPv4; nothing else is.
  if (request->to.family() != own.family()) return;
  if (!gatekeeper_.AllowsEcho(request->to)) return refuse(Unreachable::kProhibited);
  if (!relays_.TakeDatagram(Relay::kInside, request->icmp.size())) return;
  const Place flow = Find(*request);
  auto icmp = WithId(request->icmp, kEchoIdOffset, flow->real_id);
  if (!own.is_v6()) SetIcmpChecksum(icmp);  // ICMPv6's is the kernel's
  const Status sent = SendEcho(sockets_.outside, request->to, request->hops, icmp);
  if (sent || sent.error().Errno() == EAGAIN || sent.error().Errno() == ENOBUFS) return;
  refuse(ReasonFor(sent.error().Errno()));
}

Echoes::Place Echoes::Find(const EchoRequest& request) {
  const auto now = EventLoop::Clock::now();
  if (const auto found = by_inside_.find({request.to, request.id}); found != by_inside_.end()) {
    const Place flow = found->second;
    flow->used = now;
    flows_.splice(flows_.begin(), flows_, flow);
    return flow;
  }
  if (flows_.size() >= kMostFlows) {
    counters_.Add(NetCounter::kLimitUdpFlows);
    Remove(std::prev(flows_.end()));
  }
  uint16_t id = 0;
  do {  // not to be guessed, so that nobody but who was asked can answer
    BAILEY_CHECK(::getrandom(&id, sizeof id, 0) == sizeof id);
  } while (by_real_id_.contains(id));
  flows_.push_front({request.from, request.to, request.id, id, now});
  by_inside_[{request.to, request.id}] = by_real_id_[id] = flows_.begin();
  if (sweep_ == 0) sweep_ = loop_.After(kBetweenSweeps, [this] { Sweep(); });
  return flows_.begin();
}

void Echoes::OnReadable() {
  std::array<uint8_t, kLongest> buffer;
  for (int i = 0; i < kResponsesPerTurn; ++i) {
    sockaddr_storage address{};
    iovec part{buffer.data(), buffer.size()};
    alignas(cmsghdr) std::array<char, 128> control{};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(sockets_.outside, &message, MSG_DONTWAIT);
    if (got < 0) return;
    const IpAddress from = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address)).address;
    std::span<const uint8_t> packet(buffer.data(), static_cast<size_t>(got));
    if (from.is_v6()) {
      OnResponse(from, HopLimit(message), packet);
      continue;
    }
    // IPv4's raw sockets give the IP header as well.
    const size_t header = packet.empty() ? 0 : size_t{packet[0] & 15U} * 4;
    if (header >= 20 && packet.size() > header) OnResponse(from, packet[8], packet.subspan(header));
  }
}

void Echoes::OnResponse(const IpAddress& from, uint8_t hops, std::span<const uint8_t> icmp) {
  const auto response = EchoResponse::Parse(from, icmp);
  if (!response) return;
  const auto found = by_real_id_.find(response->id);
  if (found == by_real_id_.end() || found->second->to != response->peer) return;
  if (!relays_.TakeDatagram(Relay::kOutside, icmp.size())) return;
  const Flow& flow = *found->second;
  auto inside = WithId(response->icmp, response->id_offset, flow.id);
  if (const Status sent = SendRawIcmpMessage(sockets_.raw, from, flow.inside, inside, hops); !sent)
    LogWarning(sent.error().Message());
}

void Echoes::Remove(Place flow) {
  by_inside_.erase({flow->to, flow->id});
  by_real_id_.erase(flow->real_id);
  flows_.erase(flow);
}

void Echoes::Sweep() {
  const auto now = EventLoop::Clock::now();
  while (!flows_.empty() && now - flows_.back().used > kUnused) Remove(std::prev(flows_.end()));
  sweep_ = flows_.empty() ? 0 : loop_.After(kBetweenSweeps, [this] { Sweep(); });
}

}  // namespace bailey::netproxy
