// Datagrams: takes what the tenant sends by UDP to addresses that are not its own: questions to the
// DNS stub; what comes from a published port, which leaves by it; and all the rest, which goes on
// by flows as far as the policy allows. All but the questions is charged to the bandwidth. What is
// refused only here (most of it the egress programs have refused, with EACCES) is answered with the
// ICMP error for "prohibited". Runs on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "netproxy/datagram_flows.h"
#include "netproxy/gatekeeper.h"
#include "netproxy/published_datagrams.h"
#include "netproxy/relay_table.h"

namespace bailey::netproxy {

class Datagrams {
 public:
  using Bytes = std::span<const uint8_t>;
  using Reply = std::function<void(Bytes)>;

  // `ask_dns` answers a query, at most once. All references outlive this.
  struct Ways {
    DatagramFlows& flows;
    PublishedDatagrams& published;
    std::function<void(Bytes, Reply)> ask_dns;
  };
  Datagrams(EventLoop& loop, Gatekeeper& gatekeeper, RelayTable& relays, DatagramBatch& batch,
            Ways ways)
      : loop_(loop),
        gatekeeper_(gatekeeper),
        relays_(relays),
        batch_(batch),
        ways_(std::move(ways)) {}

  // `capturing` and `raw`: of one family, inside; they stay the caller's.
  Status Serve(int capturing, int raw);

 private:
  void OnReadable(int capturing, int raw);
  // Some that have the same way.
  void OnDatagrams(int raw, const Endpoint& from, const Endpoint& to, std::span<Bytes> all);
  void AskDns(int raw, const Endpoint& from, const Endpoint& to, Bytes query);

  EventLoop& loop_;
  Gatekeeper& gatekeeper_;
  RelayTable& relays_;
  DatagramBatch& batch_;
  const Ways ways_;
};

}  // namespace bailey::netproxy
