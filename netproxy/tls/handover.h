// What bailey-netproxy and bailey-tls say to each other, over a SOCK_SEQPACKET socket, one message
// each. The proxy hands over a client's socket with its first message and has no other copy of it;
// bailey-tls answers with a Unix stream socket that has what the client says in plain text, or with
// none if there was no handshake. docs/DESIGN.md, "TLS".
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace bailey::netproxy {

struct TlsRequest {  // with the client's socket
  uint64_t id;       // the proxy's own
  uint64_t port;     // that the client has come to
};
struct TlsReply {
  uint64_t id;
};

template <class Record>
std::string_view AsBytes(const Record& record) {
  return {reinterpret_cast<const char*>(&record), sizeof record};
}
template <class Record>
std::optional<Record> FromBytes(std::string_view bytes) {
  Record record{};
  if (bytes.size() != sizeof record) return std::nullopt;
  std::memcpy(&record, bytes.data(), sizeof record);
  return record;
}

}  // namespace bailey::netproxy
