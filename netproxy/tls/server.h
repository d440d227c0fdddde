// TlsServer: bailey-tls, put together: takes certificates and proxies from the supervisor, clients
// from the proxies, and gives plain text back. Runs on the loop's thread. docs/DESIGN.md, "TLS".
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/message.h"
#include "base/tls_counters.h"
#include "netproxy/tls/connection.h"
#include "netproxy/tls/site.h"
#include "netproxy/tls/ticket_keys.h"

namespace bailey::netproxy {

class TlsServer {
 public:
  static constexpr std::chrono::seconds kMayShakeHands{10};
  static constexpr size_t kMostHandshakes = 256;  // at once; the oldest makes way
  static constexpr std::chrono::hours kTicketPeriod{6};

  TlsServer(EventLoop& loop, CounterPage<TlsCounter>& counters, UniqueFd control)
      : loop_(loop), counters_(counters), control_(std::move(control)) {}
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  Status Start();

 private:
  struct Proxy {
    UniqueFd link;
  };
  struct Client {
    Client(UniqueFd socket, std::shared_ptr<const TlsPort> port, std::weak_ptr<Proxy> from,
           uint64_t number)
        : connection(std::move(socket), std::move(port)), proxy(std::move(from)), id(number) {}
    TlsConnection connection;
    std::weak_ptr<Proxy> proxy;
    uint64_t id;
    EventLoop::TimerId deadline = 0;  // of the handshake
  };
  using Place = std::list<Client>::iterator;

  void OnControl();
  void OnCertificates(const Message& message);
  std::shared_ptr<const TlsSite> LoadSite(TlsSite::Options options, int certificate, int key);
  void CountSites();
  void OnProxy(UniqueFd link);
  void OnClient(const std::shared_ptr<Proxy>& proxy);
  void Forget(const std::shared_ptr<Proxy>& proxy);
  void Answer(const Client& client, int plain);
  void OnEvents(Place client, TlsConnection::Side side, uint32_t events);
  void Settle(Place client, TlsConnection::State state);
  void Open(Place client);
  void Remove(Place client);
  void RotateTicketKeys();

  EventLoop& loop_;
  CounterPage<TlsCounter>& counters_;
  UniqueFd control_;
  TicketKeys ticket_keys_;
  std::map<uint16_t, std::shared_ptr<const TlsPort>> ports_;
  std::vector<std::shared_ptr<Proxy>> proxies_;
  std::list<Client> handshakes_, open_;  // the oldest first
};

}  // namespace bailey::netproxy
