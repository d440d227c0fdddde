// Datagrams: takes what the tenant sends by UDP to addresses that are not its own, and sends the
// answers back from where the tenant sent to. Runs on the loop's thread.
//
// Only the DNS stub is served so far: everything else is dropped here, without an answer, and never
// leaves the host (the egress programs have refused what the policy refuses, with EACCES).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "netproxy/gatekeeper.h"

namespace bailey::netproxy {

class Datagrams {
 public:
  using Bytes = std::span<const uint8_t>;
  using Reply = std::function<void(Bytes)>;

  // `ask_dns` answers a query, at most once. All references outlive this.
  Datagrams(EventLoop& loop, Gatekeeper& gatekeeper, std::function<void(Bytes, Reply)> ask_dns)
      : loop_(loop), gatekeeper_(gatekeeper), ask_dns_(std::move(ask_dns)) {}

  // `capturing` and `raw`: of one family, inside; they stay the caller's.
  Status Serve(int capturing, int raw);

 private:
  void OnReadable(int capturing, int raw);
  void OnDatagram(int raw, const Endpoint& from, const Endpoint& to, Bytes payload);

  EventLoop& loop_;
  Gatekeeper& gatekeeper_;
  std::function<void(Bytes, Reply)> ask_dns_;
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(65536);
};

}  // namespace bailey::netproxy
