// Publisher: what the tenant listens on, and what UDP sockets it binds, has its counterpart on the
// host, at the tenant's IP and the same port, as far as the configuration allows. Events of the
// `listening` program say at which port a socket has come or gone; sock_diag says whether a
// stranger is served there now. A port that the host will not give (taken by somebody else) is
// asked for again, ever more slowly, while the tenant listens on it, and as slowly if it closes and
// listens anew. A UDP socket is not looked at before it is kGrownUp: most of those that are bound
// ask one question and are gone. Many TCP ports may share one listener; those take a bit each here.
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
#include "base/port_set.h"
#include "base/publish_rule.h"
#include "netproxy/bpf_ring.h"
#include "netproxy/bpf_types.h"
#include "netproxy/socket_diag.h"
#include "netproxy/supervisor_link.h"

namespace bailey::netproxy {

struct PublisherOptions {
  IpAddress tenant_ip;
  SocketDiag inside;                                    // looks at the tenant's namespace
  BpfRing* events;                                      // of the `listening` program
  bailey_denials* notes;                                // where it says that it lost some
  std::optional<std::vector<PublishRule>> rules;        // nullopt: all
  std::function<bool(uint64_t cookie)> was_bound;       // a UDP socket, by the tenant
  std::function<void(PublishedPort)> ask_for_listener;  // the answer comes through OnListener
  std::function<void(PublishedPort)> give_up_listener;  // drop what the supervisor keeps of it
  // Whoever serves a published socket.
  std::function<Status(PublishedPort, UniqueFd)> serve;
  std::function<void(PublishedPort)> withdraw;
  // And the listener that is shared; again and again.
  std::function<Status(UniqueFd)> share;
};

// What an earlier proxy had published.
struct AdoptedPorts {
  std::vector<std::pair<PublishedPort, UniqueFd>> sockets;
  UniqueFd shared;  // or empty
  PortSet all;
};

class Publisher {
 public:
  static constexpr std::chrono::milliseconds kGrownUp{20};

  // All references outlive this.
  Publisher(EventLoop& loop, CounterPage<NetCounter>& counters, PublisherOptions options);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  Status Start(AdoptedPorts&& adopted);
  void OnListener(PublishedPort port, PublishedSocket answer);
  // Some answer did not arrive: what was asked for is asked for again, a little later.
  void OnLost();
  // Neither asks for anything nor gives anything up any more: another proxy does.
  void Rest();
  void SetRules(std::optional<std::vector<PublishRule>> rules);

 private:
  // Of a port that has a socket of its own, or has none yet.
  struct Port {
    enum class State {
      kAsked,
      kPublished,
      kRefused,   // asked for again after a while, not before
      kForgiven,  // may be asked for; but when that was refused last is not forgotten yet
    } state = State::kForgiven;
    std::chrono::milliseconds retry_after{};
    EventLoop::TimerId retry = 0;
  };

  Status Adopt(AdoptedPorts&& adopted);
  void OnEvents();
  void OnEvent(std::span<const std::byte> record);
  void LookAtTcp(uint16_t port, uint64_t closing, std::chrono::milliseconds pause);
  void OnBound(uint64_t cookie, uint16_t port);
  void OnUdpOpened(uint64_t cookie, uint16_t port);
  void OnUdpClosed(uint64_t cookie, uint16_t port);
  Status LookAtAll();
  Status LookAtAll(Transport transport);
  bool Serves(const ListeningSocket& socket) const;
  bool IsWanted(PublishedPort port) const;
  void SetServed(PublishedPort port, bool served);
  void Settle(PublishedPort port);
  void SettleAll(const PortSet& before);
  void Ask(PublishedPort port);
  void Refused(PublishedPort port);
  void Retry(PublishedPort port);
  void Withdraw(PublishedPort port);
  void CountPublished();

  EventLoop& loop_;
  CounterPage<NetCounter>& counters_;
  PublisherOptions options_;
  bool rests_ = false;
  PortSet served_;   // inside, at the tenant's IP
  PortSet shared_;   // published by the shared listener
  PortSet waiting_;  // until fewer are asked for
  std::map<PublishedPort, Port> ports_;
  size_t asked_ = 0, sockets_ = 0;              // of `ports_`: kAsked, kPublished
  std::set<uint64_t> young_;                    // cookies of UDP sockets that have just been bound
  std::map<uint16_t, std::set<uint64_t>> udp_;  // of those that serve the IP
};

}  // namespace bailey::netproxy
