// Publisher: what the tenant listens on is listened on by the host, at the tenant's IP and the same
// port, as far as the configuration allows. Events of the `listening` program say which socket has
// come or gone; sock_diag says what it is bound to. A port that the host will not give (taken by
// somebody else) is asked for again, ever more slowly, while the tenant listens on it.
// Runs on the loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "base/event_loop.h"
#include "netproxy/bpf_ring.h"
#include "netproxy/bpf_types.h"
#include "netproxy/inbound.h"
#include "netproxy/socket_diag.h"

namespace bailey::netproxy {

struct PublisherOptions {
  IpAddress tenant_ip;
  SocketDiag inside;                               // looks at the tenant's namespace
  BpfRing* events;                                 // of the `listening` program
  bailey_denials* shared;                          // where it says that it lost some
  std::optional<std::vector<uint16_t>> ports;      // nullopt: all
  std::function<void(uint16_t)> ask_for_listener;  // the answer comes through OnListener
  std::function<void(uint16_t)> give_up_listener;  // drop what the supervisor keeps of it
};

class Publisher {
 public:
  // All references outlive this.
  Publisher(EventLoop& loop, CounterPage<NetCounter>& counters, Inbound& inbound,
            PublisherOptions options);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // `adopted`: what an earlier proxy had published.
  Status Start(std::vector<std::pair<uint16_t, UniqueFd>>&& adopted);
  void OnListener(uint16_t port, int error, UniqueFd listener);
  void SetPorts(std::optional<std::vector<uint16_t>> ports);

 private:
  struct Port {
    enum class State { kAsked, kPublished, kRefused } state = State::kAsked;
    std::chrono::milliseconds retry_after{};
    EventLoop::TimerId retry = 0;
  };

  void OnEvents();
  void OnEvent(std::span<const std::byte> record);
  void OnOpened(uint64_t cookie, uint16_t port);
  void OnClosed(uint64_t cookie, uint16_t port);
  Status LookAtAll();
  bool Serves(const ListeningSocket& socket) const;
  bool IsWanted(uint16_t port) const;
  void Settle(uint16_t port);
  void Ask(uint16_t port);
  void Retry(uint16_t port);
  void Withdraw(uint16_t port);
  void CountPublished();

  EventLoop& loop_;
  CounterPage<NetCounter>& counters_;
  Inbound& inbound_;
  PublisherOptions options_;
  std::map<uint16_t, std::set<uint64_t>> listening_;  // cookies of sockets that serve the IP
  std::map<uint16_t, Port> ports_;
};

}  // namespace bailey::netproxy
