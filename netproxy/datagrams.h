// Datagrams: takes what the tenant sends by UDP to addresses that are not its own: questions to the
// DNS stub, and all the rest, which goes on by flows as far as the policy allows. What is refused
// only here (most of it the egress programs have refused, with EACCES) is answered with the ICMP
// error for "prohibited". Runs on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "netproxy/datagram_flows.h"
#include "netproxy/gatekeeper.h"

namespace bailey::netproxy {

class Datagrams {
 public:
  using Bytes = std::span<const uint8_t>;
  using Reply = std::function<void(Bytes)>;

  // `ask_dns` answers a query, at most once. All references outlive this.
  Datagrams(EventLoop& loop, Gatekeeper& gatekeeper, DatagramFlows& flows,
            std::function<void(Bytes, Reply)> ask_dns)
      : loop_(loop), gatekeeper_(gatekeeper), flows_(flows), ask_dns_(std::move(ask_dns)) {}

  // `capturing` and `raw`: of one family, inside; they stay the caller's.
  Status Serve(int capturing, int raw);

 private:
  void OnReadable(int capturing, int raw);
  void OnDatagram(int raw, const Endpoint& from, const Endpoint& to, Bytes payload);
  void AskDns(int raw, const Endpoint& from, const Endpoint& to, Bytes query);

  EventLoop& loop_;
  Gatekeeper& gatekeeper_;
  DatagramFlows& flows_;
  std::function<void(Bytes, Reply)> ask_dns_;
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(65536);
};

}  // namespace bailey::netproxy
