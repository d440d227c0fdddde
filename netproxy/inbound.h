// Inbound: serves the published listeners of the host. A connection goes on into the tenant's
// namespace from a transparent socket that carries the client's own address and port. Such
// sockets come from the supervisor; a small stock of them waits here. Each client that is accepted
// has one of them; while there are none, clients wait in the listeners' backlogs. Runs on the
// loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <vector>

#include "base/event_loop.h"
#include "base/ip_address.h"
#include "netproxy/accept_socket.h"
#include "netproxy/admission.h"
#include "netproxy/relay_table.h"

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
        ask_for_sockets_(std::move(ask_for_sockets)) {}
  ~Inbound();
  Inbound(const Inbound&) = delete;
  Inbound& operator=(const Inbound&) = delete;

  // Serves `listener`, bound to the tenant's IP and `port` on the host, until Withdraw.
  Status Publish(uint16_t port, UniqueFd listener);
  void Withdraw(uint16_t port);
  // Accepts no more; the listeners stay as they are, for another proxy.
  void Rest();
  void AddSockets(std::vector<UniqueFd> sockets);
  // Asks for what is missing from the stock.
  void Restock();

 private:
  struct Client {
    AcceptedSocket accepted;
    UniqueFd inside;
    Admission::Place place;
  };

  void OnConnections(int listener);
  void OnConnection(AcceptedSocket accepted);
  void Join(Client client);
  UniqueFd TakeFromStock();
  Status ConnectInside(Client& client);
  Status Connect(int socket, const Endpoint& client, const Endpoint& to) const;
  Endpoint ClientAsSeenInside(const Endpoint& client) const;

  EventLoop& loop_;
  Admission& admission_;
  RelayTable& relays_;
  const IpAddress tenant_ip_;
  std::function<void(size_t)> ask_for_sockets_;
  std::map<uint16_t, UniqueFd> listeners_;
  std::vector<int> paused_;  // listeners that wait for the stock
  std::vector<UniqueFd> stock_;
  size_t asked_for_ = 0;
  std::list<Client> waiting_;  // for their turn
};

}  // namespace bailey::netproxy
