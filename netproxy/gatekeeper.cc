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
  if (Permits(judgement, transport, to)) return true;
  const DenyReason reason =
      judgement.verdict == Verdict::kAskPeer ? DenyReason::kTenant : judgement.reason;
  counters_.Add(DenialCounter(reason));
  log_.Add({transport == Transport::kTcp ? "tcp" : "udp", from, to},
           [&] { return policy_->Explain(reason, to); });
  return false;
}

bool Gatekeeper::AllowsEcho(const IpAddress& to) {
  const Judgement judgement = policy_->Judge({to, 0});
  if (judgement.verdict == Verdict::kAllow) return true;
  const DenyReason reason =
      judgement.verdict == Verdict::kAskPeer ? DenyReason::kTenant : judgement.reason;
  counters_.Add(DenialCounter(reason));
  log_.Add({"echo", {policy_->config().ip, 0}, {to, 0}}, [&] {
    return policy_->Explain(reason, {to, 0});
  });
  return false;
}

bool Gatekeeper::Permits(const Judgement& judgement, Transport transport,
                         const Endpoint& to) const {
  return judgement.verdict == Verdict::kAllow ||
         (judgement.verdict == Verdict::kAskPeer &&
          IsTenants(host_.ListenerFor(transport, to), to.address));
}

bool Gatekeeper::MayAnswer(const Endpoint& own, const Endpoint& guest) const {
  if (!policy_->IsPeer(guest.address)) return policy_->MayBeAnswered(guest);
  return IsTenants(host_.ReceiverOf(own, guest), guest.address);
}

// One on the wildcard would be the host's own: only what is bound to exactly this address, and
// owned by a tenant's proxy, is a tenant's. It may be bound to another port: to one listener of its
// own a tenant's ports may lead.
bool Gatekeeper::IsTenants(const Result<ListeningSocket>& socket, const IpAddress& peer) const {
  return socket && socket->place.address == peer &&
         policy_->config().tenant_uids.Contains(socket->uid);
}

}  // namespace bailey::netproxy
