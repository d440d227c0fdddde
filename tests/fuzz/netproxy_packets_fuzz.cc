// Packets that the tenant has sent, as the hold program hands them over, and answers to them. The
// raw "socket" is one end of a pair: what would be sent is looked at instead.
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "netproxy/syn_packet.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using bailey::UniqueFd;
using namespace bailey::netproxy;  // NOLINT(google-build-using-namespace): its parsers are meant

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const auto bytes = input.Rest();
  auto syn = SynPacket::Parse(std::as_bytes(std::span(bytes)));
  if (!syn) return 0;
  Require(syn->from().address.is_v6() == syn->to().address.is_v6(), "one family");
  // A socket of no family takes no address: every send fails, after the packet was made.
  static const UniqueFd raw(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  (void)syn->Refuse(raw.get());
  for (const auto reason :
       {Unreachable::kPort, Unreachable::kHost, Unreachable::kNetwork, Unreachable::kProhibited})
    (void)syn->Unreach(raw.get(), reason);
  (void)syn->SendOn(raw.get());
  return 0;
}
