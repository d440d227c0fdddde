// Outbound: takes what the tenant's programs connect to. Most of it was dialed already, from the
// tenant's IP, while its SYN was held; the rest is dialed here.
// Runs on the loop's thread.
#pragma once

#include <functional>
#include <list>

#include "base/event_loop.h"
#include "netproxy/accept_socket.h"
#include "netproxy/admission.h"
#include "netproxy/gatekeeper.h"
#include "netproxy/held_connects.h"
#include "netproxy/relay_table.h"

namespace bailey::netproxy {

class Outbound {
 public:
  // `serve_dns` gets connections to the DNS stub. All references outlive this.
  Outbound(EventLoop& loop, Gatekeeper& gatekeeper, Admission& admission, RelayTable& relays,
           HeldConnects& held, CounterPage<NetCounter>& counters,
           std::function<void(UniqueFd)> serve_dns)
      : loop_(loop),
        gatekeeper_(gatekeeper),
        admission_(admission),
        relays_(relays),
        held_(held),
        counters_(counters),
        serve_dns_(std::move(serve_dns)) {}

  // `listener`: a capturing socket inside, which stays the caller's.
  Status Serve(int listener);

 private:
  struct Waiting {
    AcceptedSocket accepted;
    Admission::Place place;
  };

  void OnConnections(int listener);
  void Pause(int listener);
  void OnConnection(AcceptedSocket accepted);
  void OnTurn(std::list<Waiting>::iterator turn);
  void Join(AcceptedSocket accepted);
  void Refuse(const UniqueFd& fd);

  EventLoop& loop_;
  Gatekeeper& gatekeeper_;
  Admission& admission_;
  RelayTable& relays_;
  HeldConnects& held_;
  CounterPage<NetCounter>& counters_;
  std::function<void(UniqueFd)> serve_dns_;
  std::list<Waiting> waiting_;  // for their turn
};

}  // namespace bailey::netproxy
