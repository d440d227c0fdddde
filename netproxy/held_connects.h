// HeldConnects: connects of the tenant's that wait for their destination. The SYN is held back
// until it is this connect's turn and the dial from the tenant's IP has ended; then it is sent on
// to the proxy's listener, where Outbound takes the dialed socket for it, or answered so that
// connect(2) fails with the errno of the dial. Runs on the loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "netproxy/admission.h"
#include "netproxy/bpf_ring.h"
#include "netproxy/gatekeeper.h"
#include "netproxy/syn_packet.h"

namespace bailey::netproxy {

class HeldConnects {
 public:
  // `raw4`, `raw6`: IPPROTO_RAW sockets inside, -1 for none. All references outlive this.
  HeldConnects(EventLoop& loop, CounterPage<NetCounter>& counters, Gatekeeper& gatekeeper,
               Admission& admission, BpfRing& syns, int raw4, int raw6)
      : loop_(loop),
        counters_(counters),
        gatekeeper_(gatekeeper),
        admission_(admission),
        syns_(syns),
        raw4_(raw4),
        raw6_(raw6) {}
  ~HeldConnects();
  HeldConnects(const HeldConnects&) = delete;
  HeldConnects& operator=(const HeldConnects&) = delete;

  Status Start();
  // The socket that was dialed for a connection that has arrived now; empty if there is none.
  UniqueFd Take(const Endpoint& from, const Endpoint& to);
  // Have been dialed, and have no answer yet.
  size_t dialing() const { return dialing_; }

 private:
  using Key = std::pair<Endpoint, Endpoint>;
  struct Held {
    SynPacket syn;  // the latest: a SYN is sent again until it is answered
    Admission::Place place;
    UniqueFd socket;  // none while it waits for its turn
    bool connected = false;
    EventLoop::Clock::time_point since;
  };

  void OnSyn(std::span<const std::byte> record);
  void Admit(const Key& key, const SynPacket& syn);
  void Dial(const Key& key);
  void OnDialed(const Key& key);
  void Answer(const SynPacket& syn, int error);
  void Remove(std::map<Key, Held>::iterator held);
  void Sweep();
  int RawFor(const Endpoint& to) const { return to.address.is_v6() ? raw6_ : raw4_; }

  EventLoop& loop_;
  CounterPage<NetCounter>& counters_;
  Gatekeeper& gatekeeper_;
  Admission& admission_;
  BpfRing& syns_;
  const int raw4_, raw6_;
  std::map<Key, Held> held_;
  size_t dialing_ = 0;
  EventLoop::TimerId sweep_ = 0;
};

}  // namespace bailey::netproxy
