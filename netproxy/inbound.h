// Inbound: serves the published listeners of the host. A connection goes on into the tenant's
// namespace from a transparent socket that carries the client's own address and port. Such
// sockets come from the supervisor; a small stock of them waits here. Each client that is accepted
// has one of them; while there are none, clients wait in the listeners' backlogs. While the tenant
// is suspended, clients go to the SuspendedPage first; before that, those of some ports through
// bailey-tls. Runs on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <set>
#include <vector>

#include "base/event_loop.h"
#include "base/ip_address.h"
#include "netproxy/admission.h"
#include "netproxy/inbound_client.h"
#include "netproxy/relay_table.h"
#include "netproxy/suspended_page.h"
#include "netproxy/tls_handover.h"

namespace bailey::netproxy {

class Inbound {
 public:
  static constexpr size_t kStock = 32;

  // `ask_for_sockets(n)`: the answer comes through AddSockets. All references outlive this.
  Inbound(EventLoop& loop, Admission& admission, RelayTable& relays, const IpAddress& tenant_ip,
          std::function<void(size_t)> ask_for_sockets)
      : loop_(loop),
        admission_(admission),
        relays_(relays),
        tenant_ip_(tenant_ip),
        ask_for_sockets_(std::move(ask_for_sockets)),
        page_(loop, [this](InboundClient client) { LetIn(std::move(client)); }),
        tls_(loop, [this](InboundClient client) { Join(std::move(client)); }) {}
  ~Inbound();
  Inbound(const Inbound&) = delete;
  Inbound& operator=(const Inbound&) = delete;

  // Serves `listener`, bound to the tenant's IP and `port` on the host, until Withdraw.
  Status Publish(uint16_t port, UniqueFd listener);
  void Withdraw(uint16_t port);
  // The listener that other ports share. It is served to the end; again: `listener` is a copy.
  Status Share(UniqueFd listener);
  // Accepts no more; the listeners stay as they are, for another proxy.
  void Rest();
  void AddSockets(std::vector<UniqueFd> sockets);
  // An answer with sockets did not arrive: asks again, a little later.
  void OnLost();
  // Asks for what is missing from the stock.
  void Restock();
  // Whether the tenant stands still.
  void SetSuspended(bool suspended);
  // Nobody is here whose connection has not gone on or been refused.
  bool IsIdle() const { return waiting_.empty() && page_.empty() && tls_.empty(); }
  // Where clients speak TLS, and who speaks it with them.
  void SetTlsPorts(const std::vector<uint16_t>& ports) {
    tls_ports_ = {ports.begin(), ports.end()};
  }
  void SetTlsLink(UniqueFd link) { tls_.SetLink(std::move(link)); }

 private:
  Status Serve(int listener);
  void OnConnections(int listener);
  void OnConnection(AcceptedSocket accepted);
  void Pause(int listener);
  void Resume();
  void Receive(InboundClient client);
  void Join(InboundClient client);
  void LetIn(InboundClient client);
  UniqueFd TakeFromStock();
  Status ConnectInside(InboundClient& client);
  Status Connect(int socket, const Endpoint& client, const Endpoint& to) const;
  Endpoint ClientAsSeenInside(const Endpoint& client) const;

  EventLoop& loop_;
  Admission& admission_;
  RelayTable& relays_;
  const IpAddress tenant_ip_;
  std::function<void(size_t)> ask_for_sockets_;
  std::map<uint16_t, UniqueFd> listeners_;
  UniqueFd shared_;
  std::vector<int> paused_;  // listeners that wait for the stock, or for descriptors
  std::vector<UniqueFd> stock_;
  size_t asked_for_ = 0;
  std::list<InboundClient> waiting_;  // for their turn
  bool suspended_ = false;
  SuspendedPage page_;
  std::set<uint16_t> tls_ports_;
  TlsHandover tls_;
};

}  // namespace bailey::netproxy
