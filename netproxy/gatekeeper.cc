#include "netproxy/gatekeeper.h"

#include "base/log.h"
#include "netproxy/bpf_types.h"

namespace bailey::netproxy {

bool Gatekeeper::IsDnsStub(const Endpoint& to) const {
  return to.port == BAILEY_DNS_PORT && to.address == IpAddress::V4(BAILEY_DNS_ADDRESS);
}

bool Gatekeeper::SourceIsTenants(const IpAddress& from) {
  if (policy_->StaysInside(from)) return true;
  counters_.Add(NetCounter::kSourceViolations);
  LogError("a connection from " + from.ToString() + ", which is not the tenant's");
  return false;
}

bool Gatekeeper::Allows(const Endpoint& from, const Endpoint& to, Transport transport) {
  const Judgement judgement = policy_->Judge(to);
  const bool peer = judgement.verdict == Verdict::kAskPeer;
  if (judgement.verdict == Verdict::kAllow || (peer && IsPublished(transport, to))) return true;
  const DenyReason reason = peer ? DenyReason::kTenant : judgement.reason;
  counters_.Add(DenialCounter(reason));
  log_.Add({transport == Transport::kTcp ? "tcp" : "udp", from, to, policy_->Explain(reason, to)});
  return false;
}

bool Gatekeeper::AllowsEcho(const IpAddress& to) {
  const Judgement judgement = policy_->Judge({to, 0});
  if (judgement.verdict == Verdict::kAllow) return true;
  const DenyReason reason =
      judgement.verdict == Verdict::kAskPeer ? DenyReason::kTenant : judgement.reason;
  counters_.Add(DenialCounter(reason));
  log_.Add({"echo", {policy_->config().ip, 0}, {to, 0}, policy_->Explain(reason, {to, 0})});
  return false;
}

// A listener on the wildcard would be the host's own: only what is bound to exactly this address,
// and owned by a tenant's proxy, is a tenant's.
bool Gatekeeper::IsPublished(Transport transport, const Endpoint& to) const {
  const auto listener = host_.ListenerFor(transport, to);
  return listener.has_value() && listener->place == to &&
         policy_->config().tenant_uids.Contains(listener->uid);
}

}  // namespace bailey::netproxy
