// DNS messages, as far as a forwarder must understand them: the header and the question.
// RFC 1035, section 4; RFC 5452 for what an answer must repeat. Pure; reads nothing out of bounds
// whatever it is given.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace bailey::netproxy {

using DnsBytes = std::vector<uint8_t>;
using DnsView = std::span<const uint8_t>;

inline constexpr size_t kDnsHeaderBytes = 12;
inline constexpr size_t kMaxDnsMessageBytes = 65535;

enum class DnsError : uint8_t { kFormat = 1, kServerFailure = 2, kNotImplemented = 4 };

// The id; only for messages of kDnsHeaderBytes or more.
uint16_t DnsId(DnsView message);
void SetDnsId(DnsBytes& message, uint16_t id);

enum class QueryCheck : uint8_t {
  kGood,
  kDrop,            // too short for an answer, or an answer itself: replying could loop
  kFormatError,     // not one well-formed question
  kNotImplemented,  // an opcode other than QUERY
};
QueryCheck CheckQuery(DnsView query);

// The bytes of the only question of a well-formed message: name, type and class.
std::optional<DnsView> DnsQuestion(DnsView message);
// `answer` is a response with the id, opcode and question of `query` (names compared without case).
bool IsAnswerTo(DnsView answer, DnsView query);
// A response with the id, and the question if there is one, of `query`, which must have a header.
DnsBytes MakeDnsError(DnsView query, DnsError error);

}  // namespace bailey::netproxy
