#include "netproxy/echo_packet.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "netproxy/packet_bytes.h"

namespace bailey::netproxy {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t kIcmp = 8, kIpv4 = 20, kIpv6 = 40;
constexpr int kIcmpProtocol = IPPROTO_ICMP, kIcmpV6Protocol = IPPROTO_ICMPV6;

// The types of an error that may be about a ping.
bool IsError(uint8_t type, bool v6) {
  if (v6) return type >= ICMP6_DST_UNREACH && type <= ICMP6_PARAM_PROB;
  return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

}  // namespace

std::optional<EchoRequest> EchoRequest::Parse(Bytes packet) {
  if (packet.size() < kIpv4 + kIcmp) return std::nullopt;
  const bool v6 = packet[0] >> 4 == 6;
  const size_t header = v6 ? kIpv6 : size_t{packet[0] & 15U} * 4;
  if (header < kIpv4 || packet.size() < header + kIcmp) return std::nullopt;
  if (packet[v6 ? 6 : 9] != (v6 ? kIcmpV6Protocol : kIcmpProtocol)) return std::nullopt;
  EchoRequest request;
  request.from = AddressAt(packet.data() + (v6 ? 8 : 12), v6);
  request.to = AddressAt(packet.data() + (v6 ? 24 : 16), v6);
  request.hops = packet[v6 ? 7 : 8];
  request.icmp = packet.subspan(header);
  request.about = packet.first(header + kIcmp);
  if (request.icmp[0] != (v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO)) return std::nullopt;
  request.id = NumberAt(request.icmp.data() + kEchoIdOffset);
  return request;
}

std::optional<EchoResponse> EchoResponse::Parse(const IpAddress& from, Bytes icmp) {
  if (icmp.size() < kIcmp) return std::nullopt;
  const bool v6 = from.is_v6();
  EchoResponse response;
  response.icmp = icmp;
  if (icmp[0] == (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY)) {
    response.answer = true;
    response.peer = from;
    response.id_offset = kEchoIdOffset;
    response.id = NumberAt(icmp.data() + kEchoIdOffset);
    return response;
  }
  if (!IsError(icmp[0], v6)) return std::nullopt;
  const auto request = EchoRequest::Parse(icmp.subspan(kIcmp));
  if (!request || request->to.is_v6() != v6) return std::nullopt;
  response.peer = request->to;
  response.id = request->id;
  response.id_offset = static_cast<size_t>(request->icmp.data() - icmp.data()) + kEchoIdOffset;
  return response;
}

std::vector<uint8_t> WithId(Bytes icmp, size_t id_offset, uint16_t id) {
  std::vector<uint8_t> changed(icmp.begin(), icmp.end());
  changed[id_offset] = static_cast<uint8_t>(id >> 8);
  changed[id_offset + 1] = static_cast<uint8_t>(id & 0xff);
  return changed;
}

}  // namespace bailey::netproxy
