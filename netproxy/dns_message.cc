#include "netproxy/dns_message.h"

#include <algorithm>

namespace bailey::netproxy {
namespace {

// Byte 2 and 3 of a header: QR OPCODE(4) AA TC RD, RA Z AD CD RCODE(4).
constexpr uint8_t kResponse = 0x80, kOpcode = 0x78, kRecursionDesired = 0x01;
constexpr uint8_t kRecursionAvailable = 0x80;
constexpr size_t kQuestionCount = 4;
constexpr size_t kTypeAndClass = 4;
constexpr size_t kLongestName = 255;
constexpr uint8_t kLongestLabel = 63;  // above: a compression pointer, which a question never has

uint16_t Number(DnsView message, size_t at) {
  return static_cast<uint16_t>(message[at] << 8 | message[at + 1]);
}

uint8_t Lower(uint8_t byte) {
  return byte >= 'A' && byte <= 'Z' ? static_cast<uint8_t>(byte - 'A' + 'a') : byte;
}

bool SameQuestion(DnsView a, DnsView b) {
  if (a.size() != b.size()) return false;
  const size_t name = a.size() - kTypeAndClass;
  return std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(name), b.begin(),
                    [](uint8_t x, uint8_t y) { return Lower(x) == Lower(y); }) &&
         std::equal(a.begin() + static_cast<std::ptrdiff_t>(name), a.end(),
                    b.begin() + static_cast<std::ptrdiff_t>(name));
}

}  // namespace

uint16_t DnsId(DnsView message) { return Number(message, 0); }

void SetDnsId(DnsBytes& message, uint16_t id) {
  message[0] = static_cast<uint8_t>(id >> 8);
  message[1] = static_cast<uint8_t>(id);
}

std::optional<DnsView> DnsQuestion(DnsView message) {
  if (message.size() < kDnsHeaderBytes || Number(message, kQuestionCount) != 1) return std::nullopt;
  size_t end = kDnsHeaderBytes;
  while (true) {
    if (end >= message.size()) return std::nullopt;
    const uint8_t label = message[end];
    if (label > kLongestLabel) return std::nullopt;
    end += 1u + label;
    if (label == 0) break;
  }
  if (end - kDnsHeaderBytes > kLongestName || end + kTypeAndClass > message.size())
    return std::nullopt;
  return message.subspan(kDnsHeaderBytes, end + kTypeAndClass - kDnsHeaderBytes);
}

QueryCheck CheckQuery(DnsView query) {
  if (query.size() < kDnsHeaderBytes || (query[2] & kResponse) != 0) return QueryCheck::kDrop;
  if ((query[2] & kOpcode) != 0) return QueryCheck::kNotImplemented;
  return DnsQuestion(query) ? QueryCheck::kGood : QueryCheck::kFormatError;
}

bool IsAnswerTo(DnsView answer, DnsView query) {
  const auto asked = DnsQuestion(query), answered = DnsQuestion(answer);
  return asked && answered && DnsId(answer) == DnsId(query) && (answer[2] & kResponse) != 0 &&
         (answer[2] & kOpcode) == (query[2] & kOpcode) && SameQuestion(*asked, *answered);
}

DnsBytes MakeDnsError(DnsView query, DnsError error) {
  const auto question = DnsQuestion(query);
  DnsBytes reply(kDnsHeaderBytes + (question ? question->size() : 0));
  std::copy_n(query.begin(), 2, reply.begin());
  reply[2] = static_cast<uint8_t>(kResponse | (query[2] & (kOpcode | kRecursionDesired)));
  reply[3] = static_cast<uint8_t>(kRecursionAvailable | static_cast<uint8_t>(error));
  if (question) {
    reply[kQuestionCount + 1] = 1;
    std::copy(question->begin(), question->end(), reply.begin() + kDnsHeaderBytes);
  }
  return reply;
}

}  // namespace bailey::netproxy
