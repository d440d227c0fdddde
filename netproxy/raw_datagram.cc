#include "netproxy/raw_datagram.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace bailey::netproxy {
namespace {

constexpr size_t kMostPayload = 65'000;  // lo takes it unfragmented
constexpr uint8_t kHops = 64;

// RFC 1071: the one's complement sum, in host order, of big-endian 16-bit words.
uint32_t Sum(const void* data, size_t size, uint32_t sum) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i + 1 < size; i += 2)
    sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  if (size % 2 != 0) sum += static_cast<uint32_t>(bytes[size - 1] << 8);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

udphdr UdpHeader(const Endpoint& from, const Endpoint& to, std::span<const uint8_t> payload) {
  const auto length = static_cast<uint16_t>(sizeof(udphdr) + payload.size());
  udphdr header{};
  header.uh_sport = htons(from.port);
  header.uh_dport = htons(to.port);
  header.uh_ulen = htons(length);
  const auto address_bytes = static_cast<size_t>(from.address.bits() / 8);
  // The pseudo header: both addresses, the protocol, the length.
  uint32_t sum = Sum(from.address.bytes().data(), address_bytes, IPPROTO_UDP + length);
  sum = Sum(to.address.bytes().data(), address_bytes, sum);
  sum = Sum(&header, sizeof header, sum);
  const auto checksum = static_cast<uint16_t>(~Sum(payload.data(), payload.size(), sum));
  header.uh_sum = htons(checksum == 0 ? 0xffff : checksum);  // 0 would mean that there is none
  return header;
}

ip Ip4Header(const Endpoint& from, const Endpoint& to, size_t size) {
  ip header{};
  header.ip_v = 4;
  header.ip_hl = sizeof header / 4;
  header.ip_len = htons(static_cast<uint16_t>(sizeof header + size));
  header.ip_ttl = kHops;
  header.ip_p = IPPROTO_UDP;
  header.ip_src.s_addr = htonl(from.address.v4());
  header.ip_dst.s_addr = htonl(to.address.v4());
  return header;  // the kernel fills in id and checksum: raw(7)
}

ip6_hdr Ip6Header(const Endpoint& from, const Endpoint& to, size_t size) {
  ip6_hdr header{};
  header.ip6_vfc = 6 << 4;
  header.ip6_plen = htons(static_cast<uint16_t>(size));
  header.ip6_nxt = IPPROTO_UDP;
  header.ip6_hlim = kHops;
  std::memcpy(&header.ip6_src, from.address.bytes().data(), sizeof header.ip6_src);
  std::memcpy(&header.ip6_dst, to.address.bytes().data(), sizeof header.ip6_dst);
  return header;
}

}  // namespace

Status SendRawDatagram(int raw, const Endpoint& from, const Endpoint& to,
                       std::span<const uint8_t> payload) {
  if (payload.size() > kMostPayload) return Errno("datagram to " + to.ToString(), EMSGSIZE);
  udphdr udp = UdpHeader(from, to, payload);
  const size_t size = sizeof udp + payload.size();
  ip header4 = to.address.is_v6() ? ip{} : Ip4Header(from, to, size);
  ip6_hdr header6 = to.address.is_v6() ? Ip6Header(from, to, size) : ip6_hdr{};
  std::array<iovec, 3> parts = {
      to.address.is_v6() ? iovec{&header6, sizeof header6} : iovec{&header4, sizeof header4},
      iovec{&udp, sizeof udp}, iovec{const_cast<uint8_t*>(payload.data()), payload.size()}};
  sockaddr_storage address{};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = Endpoint{to.address, 0}.ToSockaddr(&address);
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (::sendmsg(raw, &message, MSG_NOSIGNAL) < 0) return Errno("datagram to " + to.ToString());
  return {};
}

}  // namespace bailey::netproxy
