// Proxy: one tenant's proxy, put together. Everything privileged is done when it is made: it has
// its descriptors and needs nothing else. Runs on the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/counters.h"
#include "base/event_loop.h"
#include "netproxy/admission.h"
#include "netproxy/datagram_batch.h"
#include "netproxy/datagram_flows.h"
#include "netproxy/datagrams.h"
#include "netproxy/denial_report.h"
#include "netproxy/dns_stub.h"
#include "netproxy/echoes.h"
#include "netproxy/gatekeeper.h"
#include "netproxy/held_connects.h"
#include "netproxy/host_addresses.h"
#include "netproxy/inbound.h"
#include "netproxy/kept_fds.h"
#include "netproxy/outbound.h"
#include "netproxy/published_datagrams.h"
#include "netproxy/publisher.h"
#include "netproxy/relay_table.h"
#include "netproxy/supervisor_link.h"

namespace bailey::netproxy {

// What a proxy is made from.
struct ProxyParts {
  EventLoop loop;
  CounterMapping<NetCounter> counters;
  KeptFds kept;
  AdoptedPorts adopted_ports;
  bailey_denials* denials;
  std::unique_ptr<BpfRing> denial_notices, listen_events, held_syns, held_echoes;
  SupervisorLink link;
  HostAddresses host_addresses;
  UniqueFd echo_socket;  // MakeEchoSocket()
  UniqueFd host_diag;    // sock_diag of the host's network namespace
  size_t most_relays;    // that there are descriptors for
  bool suspended;        // the tenant stands still
};

class Proxy {
 public:
  Proxy(ProxyConfig config, ProxyParts parts);
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Fills the kernel's policy, takes up every duty, says "ready". A failure is fatal.
  Status Start();
  // Serves until the supervisor is gone.
  void Run() { parts_.loop.Run(); }

 private:
  Status ServeInside();
  PublisherOptions Publishing();
  Status ServeSupervisor();
  Status ApplyPolicy();
  void ApplyLimits();
  void OnHostAddresses();
  void OnConfig(std::string_view message);
  void OnDrain();
  void EndOnceDrained();

  ProxyConfig config_;
  std::vector<Cidr> host_;  // the host's addresses
  ProxyParts parts_;
  DenialLog denial_log_;
  Gatekeeper gatekeeper_;
  RelayTable relays_;
  Admission admission_;
  DnsStub dns_;
  HeldConnects held_;
  Outbound outbound_;
  DatagramBatch batch_;
  DatagramFlows flows_;
  PublishedDatagrams published_datagrams_;
  Datagrams datagrams_;
  Echoes echoes_;
  Inbound inbound_;
  Publisher publisher_;
  DenialReport denial_report_;
  bool draining_ = false;
};

}  // namespace bailey::netproxy
