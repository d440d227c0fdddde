// Echoes: the tenant's pings. The `hold` program takes each away before the kernel inside, where
// all addresses are local, can answer it; it goes on from the tenant's IP, with the same data and
// hops, under an id of ours. What the real host answers, or a router says about it, comes back
// inside as it was, with the hops that it had left. What the policy denies is answered as
// prohibited. Both ways are charged to the bandwidth. Runs on the loop's thread.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <utility>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "netproxy/bpf_ring.h"
#include "netproxy/echo_packet.h"
#include "netproxy/gatekeeper.h"
#include "netproxy/relay_table.h"

namespace bailey::netproxy {

// A raw ICMP socket of the host's, bound to the tenant's IP, that receives answers and errors
// alone. Needs CAP_NET_RAW. Datagram ICMP would need none, but most hosts' ping_group_range allows
// nobody.
Result<UniqueFd> MakeEchoSocket(const IpAddress& tenant_ip);

class Echoes {
 public:
  static constexpr size_t kMostFlows = 256;

  // Borrowed: the pings taken away, MakeEchoSocket()'s, and a raw socket inside.
  struct Sockets {
    BpfRing& held;
    int outside;
    int raw;
  };
  // All references outlive this.
  Echoes(EventLoop& loop, CounterPage<NetCounter>& counters, Gatekeeper& gatekeeper,
         RelayTable& relays, Sockets sockets)
      : loop_(loop),
        counters_(counters),
        gatekeeper_(gatekeeper),
        relays_(relays),
        sockets_(sockets) {}
  ~Echoes();
  Echoes(const Echoes&) = delete;
  Echoes& operator=(const Echoes&) = delete;

  Status Start();

 private:
  // One program's pings to one address.
  struct Flow {
    IpAddress inside, to;
    uint16_t id;       // inside
    uint16_t real_id;  // outside, of no other flow
    EventLoop::Clock::time_point used;
  };
  using Place = std::list<Flow>::iterator;  // the most recently used first
  using Key = std::pair<IpAddress, uint16_t>;

  void OnRequest(std::span<const std::byte> record);
  void OnReadable();
  void OnResponse(const IpAddress& from, uint8_t hops, std::span<const uint8_t> icmp);
  Place Find(const EchoRequest& request);
  void Remove(Place flow);
  void Sweep();

  EventLoop& loop_;
  CounterPage<NetCounter>& counters_;
  Gatekeeper& gatekeeper_;
  RelayTable& relays_;
  const Sockets sockets_;
  std::list<Flow> flows_;
  std::map<Key, Place> by_inside_;
  std::map<uint16_t, Place> by_real_id_;
  EventLoop::TimerId sweep_ = 0;
};

}  // namespace bailey::netproxy
