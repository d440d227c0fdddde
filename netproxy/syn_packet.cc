#include "netproxy/syn_packet.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>

#include "netproxy/packet_bytes.h"

namespace bailey::netproxy {
namespace {

constexpr size_t kTcpBytes = 20, kChecksumOffset = 16, kTransportBytesInIcmp = 8;

}  // namespace

std::optional<SynPacket> SynPacket::Parse(std::span<const std::byte> record) {
  const std::span<const uint8_t> packet = HeldPacket(record);
  if (packet.empty() || packet.size() > BAILEY_SYN_BYTES) return std::nullopt;
  const bool v6 = packet[0] >> 4 == 6;
  const size_t ip_bytes = v6 ? 40 : 20;
  if (packet.size() < ip_bytes + kTcpBytes) return std::nullopt;
  SynPacket syn;
  std::copy(packet.begin(), packet.end(), syn.packet_.begin());
  syn.size_ = packet.size();
  const uint8_t* const addresses = packet.data() + (v6 ? 8 : 12);
  const uint8_t* const ports = packet.data() + ip_bytes;
  syn.from_ = {AddressAt(addresses, v6), NumberAt(ports)};
  syn.to_ = {AddressAt(addresses + (v6 ? 16 : 4), v6), NumberAt(ports + 2)};
  return syn;
}

// On lo the checksum is left to nobody: it has to be right once the packet comes from us.
Status SynPacket::SendOn(int raw) {
  uint8_t* const tcp = packet_.data() + IpBytes();
  SetTransportChecksum(from_.address, to_.address, IPPROTO_TCP, {tcp, size_ - IpBytes()},
                       kChecksumOffset);
  return SendRawPacket(raw, to_.address, Bytes());
}

Status SynPacket::Refuse(int raw) const {
  uint32_t sequence = 0;
  std::memcpy(&sequence, packet_.data() + IpBytes() + 4, sizeof sequence);
  tcphdr reset{};
  reset.th_sport = htons(to_.port);
  reset.th_dport = htons(from_.port);
  reset.th_ack = htonl(ntohl(sequence) + 1);
  reset.th_off = sizeof reset / 4;
  reset.th_flags = TH_RST | TH_ACK;
  std::array<uint8_t, sizeof reset> bytes{};
  std::memcpy(bytes.data(), &reset, sizeof reset);
  SetTransportChecksum(to_.address, from_.address, IPPROTO_TCP, bytes, kChecksumOffset);
  return SendRawTransport(raw, to_.address, from_.address, IPPROTO_TCP, bytes);
}

Status SynPacket::Unreach(int raw, Unreachable reason) const {
  return SendRawIcmp(raw, reason, to_.address, from_.address,
                     Bytes().first(IpBytes() + kTransportBytesInIcmp));
}

}  // namespace bailey::netproxy
