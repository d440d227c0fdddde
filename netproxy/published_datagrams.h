// PublishedDatagrams: UDP of the tenant's published ports. Each has a socket of the host's, bound
// to the tenant's IP and that port. What arrives there goes inside with the sender's own address
// and port; what the tenant sends from that port leaves by that socket, so from its IP and that
// port. Whoever has sent something may be answered, whatever the rules say of its address, but not
// behind the walls (EgressPolicy::MayBeAnswered), and only as much as GuestTable says.
// What comes in is charged to the bandwidth; what goes out the caller has. Runs on the loop's
// thread.
//
// A sender whose address is the tenant's own or loopback inside (a program of the host's that talks
// to the tenant) cannot keep it: the answer would never come out. It shows as 192.0.0.8 or 100::8.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "netproxy/bpf_types.h"
#include "netproxy/datagram_batch.h"
#include "netproxy/gatekeeper.h"
#include "netproxy/guest_table.h"
#include "netproxy/relay_table.h"

namespace bailey::netproxy {

class PublishedDatagrams {
 public:
  using Bytes = std::span<const uint8_t>;
  struct Options {
    IpAddress tenant_ip;
    int raw;  // of the tenant's family, inside
    // Lets the egress programs let a guest be answered.
    std::function<void(const bailey_guest& guest, bool present)> let_answer;
  };

  // All references outlive this.
  PublishedDatagrams(EventLoop& loop, CounterPage<NetCounter>& counters, Gatekeeper& gatekeeper,
                     RelayTable& relays, DatagramBatch& batch, Options options);
  ~PublishedDatagrams();
  PublishedDatagrams(const PublishedDatagrams&) = delete;
  PublishedDatagrams& operator=(const PublishedDatagrams&) = delete;

  Status Publish(uint16_t port, UniqueFd socket);
  void Withdraw(uint16_t port);
  // Receives no more; the sockets, and the guests whom the egress programs know, are another
  // proxy's from now on.
  void Rest();
  bool Has(uint16_t port) const { return sockets_.contains(port); }
  // From the published `port` to `to`, as the tenant calls it: to a guest that may be answered.
  // Says how many of `payloads`, from the first on, it was for this to send; the rest is for the
  // policy.
  size_t Answer(uint16_t port, const Endpoint& to, std::span<const Bytes> payloads);
  // The same to somebody whom the policy allows.
  void Send(uint16_t port, const Endpoint& to, std::span<const Bytes> payloads);
  // After a change of the policy: guests who were first sent to are gone if it denies them.
  void ApplyPolicy();

 private:
  void OnEvents(uint16_t port, uint32_t events);
  void OnErrors(uint16_t port, int socket);
  void OnDatagrams(uint16_t port, std::span<const Datagram> datagrams);
  Guest* Know(uint16_t port, const Endpoint& real);
  Guest* Add(const Guest& guest);
  Endpoint SeenInside(uint16_t port, const Endpoint& real);
  Standing StandingOf(const Guest& guest) const;
  void Judge(Guest& guest);
  void SendTo(const Guest& guest, std::span<const Bytes> payloads);
  void Sweep();

  EventLoop& loop_;
  CounterPage<NetCounter>& counters_;
  Gatekeeper& gatekeeper_;
  RelayTable& relays_;
  DatagramBatch& batch_;
  const Options options_;
  GuestTable guests_;
  std::map<uint16_t, UniqueFd> sockets_;
  EventLoop::TimerId sweep_ = 0;
};

}  // namespace bailey::netproxy
