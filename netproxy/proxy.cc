#include "netproxy/proxy.h"

#include <chrono>
#include <utility>

#include "base/log.h"
#include "netproxy/bpf_programs.h"
#include "netproxy/egress_tries.h"
#include "netproxy/inside_sockets.h"
#include "netproxy/kernel_policy.h"

namespace bailey::netproxy {
namespace {

// Long enough for the answers to what was asked last.
constexpr std::chrono::seconds kDrainStep{2};
constexpr uint32_t kLoopback = 1;  // lo is the first interface of every network namespace

DnsStubOptions DnsOptions(const ProxyConfig& config) {
  DnsStubOptions options;
  options.resolvers = config.resolvers;
  return options;
}

}  // namespace

Proxy::Proxy(ProxyConfig config, ProxyParts parts)
    : config_(std::move(config)),
      parts_(std::move(parts)),
      denial_log_(parts_.loop, LogInfo),
      gatekeeper_(config_, *parts_.counters.get(), SocketDiag(parts_.host_diag.get()), denial_log_),
      relays_(parts_.loop, *parts_.counters.get(), parts_.most_relays),
      admission_(*parts_.counters.get(), relays_, denial_log_),
      dns_(parts_.loop, DnsOptions(config_),
           [this](DnsEvent event) {
             if (event == DnsEvent::kQuery) parts_.counters->Add(NetCounter::kDnsQueries);
           }),
      held_(parts_.loop, *parts_.counters.get(), gatekeeper_, admission_, *parts_.held_syns,
            parts_.kept.Get(kRaw4), parts_.kept.Get(kRaw6)),
      outbound_(parts_.loop, gatekeeper_, admission_, relays_, held_, *parts_.counters.get(),
                [this](UniqueFd connection) { dns_.Serve(std::move(connection)); }),
      flows_(parts_.loop, *parts_.counters.get(), relays_, batch_, config_.ip),
      published_datagrams_(parts_.loop, *parts_.counters.get(), gatekeeper_, relays_, batch_,
                           {config_.ip, parts_.kept.Get(config_.ip.is_v6() ? kRaw6 : kRaw4),
                            [this](const bailey_guest& guest, bool present) {
                              SetGuest(parts_.kept, guest, present);
                            }}),
      datagrams_(parts_.loop, gatekeeper_, relays_, batch_,
                 {flows_, published_datagrams_,
                  [this](Datagrams::Bytes query, Datagrams::Reply reply) {
                    dns_.Ask(query, std::move(reply));
                  }}),
      echoes_(parts_.loop, *parts_.counters.get(), gatekeeper_, relays_,
              {*parts_.held_echoes, parts_.echo_socket.get(),
               parts_.kept.Get(config_.ip.is_v6() ? kRaw6 : kRaw4)}),
      inbound_(parts_.loop, admission_, relays_, config_.ip,
               [this](size_t count) { parts_.link.AskForSockets(count); }),
      publisher_(parts_.loop, *parts_.counters.get(), Publishing()),
      denial_report_(parts_.loop, *parts_.counters.get(), *parts_.denials, *parts_.denial_notices,
                     denial_log_, gatekeeper_) {}

PublisherOptions Proxy::Publishing() {
  return {
      .tenant_ip = config_.ip,
      .inside = SocketDiag(parts_.kept.Get(kDiag), kLoopback),
      .events = parts_.listen_events.get(),
      .notes = parts_.denials,
      .rules = config_.publish,
      .was_bound = [this](uint64_t cookie) { return WasBound(parts_.kept, cookie); },
      .ask_for_listener =
          [this](PublishedPort port) {
            if (port.transport == Transport::kUdp) flows_.GiveUpPort(port.port);
            parts_.link.AskForListener(port);
          },
      .give_up_listener = [this](PublishedPort port) { parts_.link.GiveUpListener(port); },
      .serve =
          [this](PublishedPort port, UniqueFd socket) {
            return port.transport == Transport::kUdp
                       ? published_datagrams_.Publish(port.port, std::move(socket))
                       : inbound_.Publish(port.port, std::move(socket));
          },
      .withdraw =
          [this](PublishedPort port) {
            if (port.transport == Transport::kUdp)
              published_datagrams_.Withdraw(port.port);
            else
              inbound_.Withdraw(port.port);
          },
      .share = [this](UniqueFd listener) { return inbound_.Share(std::move(listener)); },
  };
}

Status Proxy::Start() {
  ApplyLimits();
  BAILEY_TRY(parts_.host_addresses.Watch(parts_.loop, [this] { OnHostAddresses(); }));
  auto host = parts_.host_addresses.List();
  if (!host) return host.error();
  host_ = std::move(*host);
  ForgetGuests(parts_.kept);
  BAILEY_TRY(ApplyPolicy());
  BAILEY_TRY(ServeSupervisor());
  BAILEY_TRY(denial_report_.Start());
  BAILEY_TRY(held_.Start());
  BAILEY_TRY(echoes_.Start());
  BAILEY_TRY(ServeInside());
  inbound_.SetSuspended(parts_.suspended);
  inbound_.SetTlsPorts(config_.tls_ports);
  inbound_.Restock();
  BAILEY_TRY(publisher_.Start(std::move(parts_.adopted_ports)));
  parts_.link.Ready();
  return {};
}

Status Proxy::ServeInside() {
  const KeptFds& kept = parts_.kept;
  BAILEY_TRY(outbound_.Serve(kept.Get(kTcp4)));
  BAILEY_TRY(datagrams_.Serve(kept.Get(kUdp4), kept.Get(kRaw4)));
  if (!config_.ip.is_v6()) return {};
  BAILEY_TRY(outbound_.Serve(kept.Get(kTcp6)));
  return datagrams_.Serve(kept.Get(kUdp6), kept.Get(kRaw6));
}

Status Proxy::ServeSupervisor() {
  return parts_.link.Serve(
      parts_.loop,
      {.on_listener =
           [this](PublishedPort port, PublishedSocket answer) {
             if (!draining_) publisher_.OnListener(port, std::move(answer));
           },
       .on_inside =
           [this](std::vector<UniqueFd> sockets) { inbound_.AddSockets(std::move(sockets)); },
       .on_config = [this](std::string_view message) { OnConfig(message); },
       .on_tls = [this](UniqueFd link) { inbound_.SetTlsLink(std::move(link)); },
       .on_suspended = [this](bool suspended) { inbound_.SetSuspended(suspended); },
       .on_lost =
           [this] {
             inbound_.OnLost();
             if (!draining_) publisher_.OnLost();
           },
       .on_drain = [this] { OnDrain(); },
       .on_gone = [this] { parts_.loop.Stop(); }});
}

// Another proxy takes over the listeners and whatever waits in them. What goes on is what has
// begun: connections, and answers to what was sent.
void Proxy::OnDrain() {
  draining_ = true;
  for (const char* name : {kTcp4, kTcp6, kUdp4, kUdp6})
    if (const int fd = parts_.kept.Get(name); fd >= 0) parts_.loop.Unwatch(fd);
  for (const auto* ring : {&parts_.held_syns, &parts_.held_echoes})
    parts_.loop.Unwatch((*ring)->fd());
  inbound_.Rest();
  published_datagrams_.Rest();
  publisher_.Rest();
  denial_report_.Rest();
  relays_.StopCounting();
  parts_.link.Drained();
  parts_.loop.After(kDrainStep, [this] { EndOnceDrained(); });
}

void Proxy::EndOnceDrained() {
  if (relays_.size() == 0 && inbound_.IsIdle()) return parts_.loop.Stop();
  parts_.loop.After(kDrainStep, [this] { EndOnceDrained(); });
}

void Proxy::OnHostAddresses() {
  if (draining_) return;
  auto host = parts_.host_addresses.List();
  if (!host) return LogError(host.error().Message());
  if (*host == host_) return;
  host_ = std::move(*host);
  if (const Status applied = ApplyPolicy(); !applied) LogError(applied.error().Message());
}

// The proxy's own judgement changes before the kernel's copy of it: what is allowed no more is
// refused here from now on, whatever the tries still say.
Status Proxy::ApplyPolicy() {
  auto policy = std::make_unique<EgressPolicy>(config_, host_);
  const std::vector<KernelPrefix> kernel = KernelPolicy(*policy);
  gatekeeper_.SetPolicy(std::move(policy));
  flows_.KeepOnly([this](const Endpoint& to) { return gatekeeper_.StillAllowsUdp(to); });
  if (draining_) return {};  // what is in the kernel is another's
  published_datagrams_.ApplyPolicy();
  return FillEgressTries(parts_.kept.Get(kEgress4Map), parts_.kept.Get(kEgress6Map), kernel);
}

void Proxy::ApplyLimits() {
  relays_.SetLimits(config_.connections, config_.limits);
  admission_.SetLimits(config_.limits);
  flows_.SetLimit(config_.limits.udp_flows);
}

void Proxy::OnConfig(std::string_view message) {
  auto config = ParseConfigMessage(message);
  if (!config) return LogError("new configuration: " + config.error().Message());
  if (config->ip != config_.ip) return LogError("a running tenant keeps its IP");
  config_ = std::move(*config);
  ApplyLimits();
  dns_.SetResolvers(config_.resolvers);
  inbound_.SetTlsPorts(config_.tls_ports);
  if (!draining_) publisher_.SetRules(config_.publish);
  if (const Status applied = ApplyPolicy(); !applied) LogError(applied.error().Message());
}

}  // namespace bailey::netproxy
