// Gatekeeper: the proxy's own judgement of what a tenant sends, for every protocol: the source
// must be the tenant's, the policy must allow the destination, and another tenant is reached only
// where a published listener serves exactly that address. Counts what it refuses.
// Not thread-safe; runs on the loop's thread.
#pragma once

#include <memory>

#include "base/counters.h"
#include "base/ip_address.h"
#include "netproxy/denial_log.h"
#include "netproxy/egress_policy.h"
#include "netproxy/socket_diag.h"

namespace bailey::netproxy {

class Gatekeeper {
 public:
  // `host`: looks at the host's listening sockets.
  Gatekeeper(const ProxyConfig& config, CounterPage<NetCounter>& counters, SocketDiag host,
             DenialLog& log)
      : policy_(std::make_unique<EgressPolicy>(config, std::vector<Cidr>{})),
        counters_(counters),
        host_(host),
        log_(log) {}

  void SetPolicy(std::unique_ptr<EgressPolicy> policy) { policy_ = std::move(policy); }
  const EgressPolicy& policy() const { return *policy_; }

  bool IsDnsStub(const Endpoint& to) const;
  // The source of what left a socket inside: the tenant's address or its loopback.
  bool SourceIsTenants(const IpAddress& from);
  bool AllowsTcp(const Endpoint& from, const Endpoint& to) {
    return Allows(from, to, Transport::kTcp);
  }
  bool AllowsUdp(const Endpoint& from, const Endpoint& to) {
    return Allows(from, to, Transport::kUdp);
  }
  // A ping: what the policy says of all ports. Another tenant's address is the host's to answer
  // for, so never.
  bool AllowsEcho(const IpAddress& to);

  // The same without counting or logging: whether what goes there already may go on.
  bool StillAllowsUdp(const Endpoint& to) const {
    return Permits(policy_->Judge(to), Transport::kUdp, to);
  }
  // Whether `guest`, whom the policy denies, may be answered from `own`: as EgressPolicy says, and
  // another tenant where there is a socket of his.
  bool MayAnswer(const Endpoint& own, const Endpoint& guest) const;

 private:
  bool Permits(const Judgement& judgement, Transport transport, const Endpoint& to) const;
  bool IsTenants(const Result<ListeningSocket>& socket, const IpAddress& peer) const;
  bool Allows(const Endpoint& from, const Endpoint& to, Transport transport);

  std::unique_ptr<EgressPolicy> policy_;
  CounterPage<NetCounter>& counters_;
  SocketDiag host_;
  DenialLog& log_;
};

}  // namespace bailey::netproxy
