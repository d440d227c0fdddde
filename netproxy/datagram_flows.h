// DatagramFlows: UDP between a socket of the tenant's and one foreign address, as long as it is
// used. Each flow has a socket of the host's, bound to the tenant's IP and connected, so that only
// that address gets through; what it answers goes inside from where the tenant sent to, and its
// ICMP errors as ICMP errors. Flows end 30 s after the last datagram, 180 s if it was ever
// answered, and at once when every DNS question is. When there are too many, the socket inside that
// has the most of them loses the one that it has not used for the longest time: who asks all the
// world does not cost his neighbours theirs. What comes in is charged to the bandwidth; what goes
// out the caller has. Runs on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <span>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"
#include "netproxy/datagram_batch.h"
#include "netproxy/relay_table.h"

namespace bailey::netproxy {

class DatagramFlows {
 public:
  static constexpr size_t kMostFlows = 512;  // a descriptor each
  using Bytes = std::span<const uint8_t>;

  // All references outlive this.
  DatagramFlows(EventLoop& loop, CounterPage<NetCounter>& counters, RelayTable& relays,
                DatagramBatch& batch, const IpAddress& tenant_ip)
      : loop_(loop), counters_(counters), relays_(relays), batch_(batch), tenant_ip_(tenant_ip) {}
  ~DatagramFlows();
  DatagramFlows(const DatagramFlows&) = delete;
  DatagramFlows& operator=(const DatagramFlows&) = delete;

  // Sends `payloads` on by the flow of these two; false: there is none.
  bool GoOn(const Endpoint& inside, const Endpoint& foreign, std::span<const Bytes> payloads);
  // The same by a new one. `raw`: for the answers.
  void Begin(int raw, const Endpoint& inside, const Endpoint& foreign,
             std::span<const Bytes> payloads);
  // Ends the flow whose socket on the host happens to have this port, which the tenant has bound.
  void GiveUpPort(uint16_t port);
  // Flows at once; 0, or more than that: kMostFlows.
  void SetLimit(uint64_t flows);
  // Ends the flows to places that a new policy does not allow.
  void KeepOnly(const std::function<bool(const Endpoint& foreign)>& allowed);
  size_t size() const { return flows_.size(); }

 private:
  struct Flow {
    Endpoint inside, foreign;
    int raw;
    UniqueFd socket;
    EventLoop::Clock::time_point used;
    uint16_t own_port = 0;  // of the socket
    bool answered = false;
    int questions = 0;  // without an answer yet; counted for DNS alone
  };
  using Place = std::list<Flow>::iterator;  // the most recently used first

  Result<Place> Open(int raw, const Endpoint& inside, const Endpoint& foreign);
  void Send(Place flow, std::span<const Bytes> payloads);
  void OnEvents(Place flow, uint32_t events);
  void OnError(const Flow& flow, int error);
  void MakeRoom();
  void Touch(Place flow);
  void Remove(Place flow);
  void Sweep();

  EventLoop& loop_;
  CounterPage<NetCounter>& counters_;
  RelayTable& relays_;
  DatagramBatch& batch_;
  const IpAddress tenant_ip_;
  size_t limit_ = kMostFlows;
  std::list<Flow> flows_;
  std::map<std::pair<Endpoint, Endpoint>, Place> index_;
  std::map<Endpoint, size_t> per_socket_;  // flows of one socket inside
  EventLoop::TimerId sweep_ = 0;
};

}  // namespace bailey::netproxy
