#include "netproxy/raw_packet.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace bailey::netproxy {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t kMostPayload = 65'507;  // of IPv4; lo takes it unfragmented
constexpr size_t kBurst = 32;
constexpr uint8_t kHops = 64;
constexpr size_t kIcmpChecksumOffset = 2;

template <class T>
Bytes AsBytes(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

// RFC 1071: the one's complement sum, in host order, of big-endian 16-bit words.
uint32_t Sum(Bytes bytes, uint32_t sum) {
  for (size_t i = 0; i + 1 < bytes.size(); i += 2)
    sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  if (bytes.size() % 2 != 0) sum += static_cast<uint32_t>(bytes.back() << 8);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

void StoreChecksum(std::span<uint8_t> packet, size_t offset, uint32_t sum) {
  const auto checksum = static_cast<uint16_t>(~sum);
  packet[offset] = static_cast<uint8_t>(checksum >> 8);
  packet[offset + 1] = static_cast<uint8_t>(checksum & 0xff);
}

// The pseudo header: both addresses, the protocol, the length.
uint32_t PseudoSum(const IpAddress& from, const IpAddress& to, uint8_t protocol, size_t length) {
  const auto size = static_cast<size_t>(from.bits() / 8);
  uint32_t sum = Sum({from.bytes().data(), size}, protocol + static_cast<uint32_t>(length));
  return Sum({to.bytes().data(), size}, sum);
}

udphdr UdpHeader(const Endpoint& from, const Endpoint& to, Bytes payload) {
  const size_t length = sizeof(udphdr) + payload.size();
  udphdr header{};
  header.uh_sport = htons(from.port);
  header.uh_dport = htons(to.port);
  header.uh_ulen = htons(static_cast<uint16_t>(length));
  if (!to.address.is_v6()) return header;  // IPv4 may go without (RFC 768), and lo loses nothing
  uint32_t sum = PseudoSum(from.address, to.address, IPPROTO_UDP, length);
  sum = Sum(payload, Sum(AsBytes(header), sum));
  const auto checksum = static_cast<uint16_t>(~sum);
  header.uh_sum = htons(checksum == 0 ? 0xffff : checksum);  // 0 would mean that there is none
  return header;
}

struct Header {
  std::array<uint8_t, sizeof(ip6_hdr)> bytes{};
  size_t size = 0;
  template <class T>
  explicit Header(const T& header) : size(sizeof header) {
    std::memcpy(bytes.data(), &header, sizeof header);
  }
  Header() = default;
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator Bytes() const { return {bytes.data(), size}; }
};

// The kernel fills in IPv4's id and checksum: raw(7).
Header IpHeader(const IpAddress& from, const IpAddress& to, uint8_t protocol, size_t size,
                uint8_t hops = kHops) {
  if (to.is_v6()) {
    ip6_hdr header{};
    header.ip6_vfc = 6 << 4;
    header.ip6_plen = htons(static_cast<uint16_t>(size));
    header.ip6_nxt = protocol;
    header.ip6_hlim = hops;
    std::memcpy(&header.ip6_src, from.bytes().data(), sizeof header.ip6_src);
    std::memcpy(&header.ip6_dst, to.bytes().data(), sizeof header.ip6_dst);
    return Header(header);
  }
  ip header{};
  header.ip_v = 4;
  header.ip_hl = sizeof header / 4;
  header.ip_len = htons(static_cast<uint16_t>(sizeof header + size));
  header.ip_ttl = hops;
  header.ip_p = protocol;
  header.ip_src.s_addr = htonl(from.v4());
  header.ip_dst.s_addr = htonl(to.v4());
  return Header(header);
}

Status SendPacket(int raw, const IpAddress& to, const std::array<Bytes, 3>& parts) {
  std::array<iovec, 3> vectors{};
  for (size_t i = 0; i < parts.size(); ++i)
    vectors[i] = {const_cast<uint8_t*>(parts[i].data()), parts[i].size()};
  sockaddr_storage address{};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = Endpoint{to, 0}.ToSockaddr(&address);
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  if (::sendmsg(raw, &message, MSG_NOSIGNAL) < 0) return Errno("packet to " + to.ToString());
  return {};
}

uint8_t CodeOf(Unreachable reason, bool v6) {
  switch (reason) {
    case Unreachable::kPort:
      return v6 ? ICMP6_DST_UNREACH_NOPORT : ICMP_PORT_UNREACH;
    case Unreachable::kHost:
      return v6 ? ICMP6_DST_UNREACH_ADDR : ICMP_HOST_UNREACH;
    case Unreachable::kNetwork:
      static_assert(ICMP_NET_UNREACH == ICMP6_DST_UNREACH_NOROUTE);
      return ICMP_NET_UNREACH;
    case Unreachable::kProhibited:
      break;
  }
  return v6 ? ICMP6_DST_UNREACH_ADMIN : ICMP_PKT_FILTERED;
}

// One datagram of a burst, as sendmmsg(2) wants it.
struct Packet {
  Header header;
  udphdr udp;
  std::array<iovec, 3> parts;
  sockaddr_storage address;
};

void Fill(const RawDatagram& datagram, Packet& packet, mmsghdr& message) {
  const auto& [from, to, payload] = datagram;
  packet.udp = UdpHeader(from, to, payload);
  packet.header = IpHeader(from.address, to.address, IPPROTO_UDP, sizeof(udphdr) + payload.size());
  packet.parts = {iovec{packet.header.bytes.data(), packet.header.size},
                  iovec{&packet.udp, sizeof packet.udp},
                  iovec{const_cast<uint8_t*>(payload.data()), payload.size()}};
  message = {};
  message.msg_hdr.msg_name = &packet.address;
  message.msg_hdr.msg_namelen = Endpoint{to.address, 0}.ToSockaddr(&packet.address);
  message.msg_hdr.msg_iov = packet.parts.data();
  message.msg_hdr.msg_iovlen = packet.parts.size();
}

}  // namespace

Status SendRawDatagram(int raw, const Endpoint& from, const Endpoint& to, Bytes payload) {
  if (payload.size() > kMostPayload) return Errno("datagram to " + to.ToString(), EMSGSIZE);
  const udphdr udp = UdpHeader(from, to, payload);
  const Header header =
      IpHeader(from.address, to.address, IPPROTO_UDP, sizeof udp + payload.size());
  return SendPacket(raw, to.address, {header, AsBytes(udp), payload});
}

void SendRawDatagrams(int raw, std::span<const RawDatagram> datagrams) {
  std::array<Packet, kBurst> packets;
  std::array<mmsghdr, kBurst> messages;
  while (!datagrams.empty()) {
    const auto now = datagrams.first(std::min(datagrams.size(), kBurst));
    datagrams = datagrams.subspan(now.size());
    unsigned count = 0;
    for (const RawDatagram& each : now)
      if (each.payload.size() <= kMostPayload) {
        Fill(each, packets[count], messages[count]);
        ++count;
      }
    for (unsigned done = 0; done < count;) {
      const int sent = ::sendmmsg(raw, messages.data() + done, count - done, MSG_NOSIGNAL);
      done += sent > 0 ? static_cast<unsigned>(sent) : 1;  // the one that failed is lost
    }
  }
}

Unreachable ReasonFor(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Unreachable::kPort;
    case ENETUNREACH:
      return Unreachable::kNetwork;
    case EACCES:
    case EPERM:
      return Unreachable::kProhibited;
    default:
      return Unreachable::kHost;
  }
}

Status SendRawUnreachable(int raw, Unreachable reason, const Endpoint& from, const Endpoint& to) {
  // What it is about: the headers of the datagram, by which the kernel finds the socket.
  const udphdr udp = UdpHeader(from, to, {});
  const Header header = IpHeader(from.address, to.address, IPPROTO_UDP, sizeof udp);
  std::vector<uint8_t> about(header.bytes.begin(), header.bytes.begin() + header.size);
  const Bytes ports = AsBytes(udp);
  about.insert(about.end(), ports.begin(), ports.end());
  return SendRawIcmp(raw, reason, to.address, from.address, about);
}

Status SendRawIcmp(int raw, Unreachable reason, const IpAddress& from, const IpAddress& to,
                   Bytes about) {
  const bool v6 = to.is_v6();
  // ICMP's and ICMPv6's header look the same here: type, code, checksum, four unused bytes.
  std::vector<uint8_t> icmp = {static_cast<uint8_t>(v6 ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH),
                               CodeOf(reason, v6),
                               0,
                               0,
                               0,
                               0,
                               0,
                               0};
  icmp.insert(icmp.end(), about.begin(), about.end());
  return SendRawIcmpMessage(raw, from, to, icmp, kHops);
}

Status SendRawIcmpMessage(int raw, const IpAddress& from, const IpAddress& to,
                          std::span<uint8_t> icmp, uint8_t hops) {
  if (to.is_v6()) {
    SetTransportChecksum(from, to, IPPROTO_ICMPV6, icmp, kIcmpChecksumOffset);
    return SendRawTransport(raw, from, to, IPPROTO_ICMPV6, icmp, hops);
  }
  SetIcmpChecksum(icmp);
  return SendRawTransport(raw, from, to, IPPROTO_ICMP, icmp, hops);
}

Status SendRawTransport(int raw, const IpAddress& from, const IpAddress& to, uint8_t protocol,
                        Bytes transport, uint8_t hops) {
  const Header header = IpHeader(from, to, protocol, transport.size(), hops);
  return SendPacket(raw, to, {header, transport, {}});
}

Status SendRawPacket(int raw, const IpAddress& to, Bytes packet) {
  return SendPacket(raw, to, {packet, {}, {}});
}

void SetIcmpChecksum(std::span<uint8_t> icmp) {
  icmp[kIcmpChecksumOffset] = icmp[kIcmpChecksumOffset + 1] = 0;
  StoreChecksum(icmp, kIcmpChecksumOffset, Sum(icmp, 0));
}

void SetTransportChecksum(const IpAddress& from, const IpAddress& to, uint8_t protocol,
                          std::span<uint8_t> transport, size_t offset) {
  transport[offset] = transport[offset + 1] = 0;
  StoreChecksum(transport, offset, Sum(transport, PseudoSum(from, to, protocol, transport.size())));
}

}  // namespace bailey::netproxy
