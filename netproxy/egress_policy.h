// EgressPolicy: where a tenant may connect or send to. A pure function of the configuration and
// the destination: no I/O, no clock, thread-safe.
//
// Four walls stand by default:
//   port    25, against mail sent from broken web sites
//   host    the host's own addresses, and the tenant's as seen from outside
//   special SpecialRanges(): loopback, link-local and metadata, private, multicast, reserved
//   peers   other tenants, except through what they publish
// The first three are opened by an allow rule that lies wholly within them, and by no other: "*",
// "0.0.0.0/0" or "10.0.0.0/7" open nothing but the default; "10.0.0.0/8" or "10.0.0.5:3306" open
// that part of the private ranges, "*:25" the port, "203.0.113.1:5432" that service of the host.
// For 10.0.0.5:25 both the port and the range must be opened ("10.0.0.5:25" does both).
//
// The order:
//   1. IPv4-mapped: judged as the IPv4 address that it is.
//   2. The most specific rule that matches (longest prefix, then fewest ports, then deny) is a
//      deny: kDeny. So "allow 10.0.0.5:3306, deny 10.0.0.0/8" and "allow 10.0.0.0/8, deny
//      10.0.0.5" both mean what they say.
//   3. The port wall.
//   4. Not a peer: the host wall, then the special wall.
//   5. 6to4, NAT64, Teredo and IPv4-compatible addresses: what they carry goes through 2 and 4
//      too, and can only deny (a carried peer denies as well). An allow rule for the carried
//      address opens nothing here: what is behind such an address is another machine.
//   6. egress.default is deny, and the rule of step 2 is not an allow: kDeny.
//   7. A peer: kAskPeer. Else kAllow.
// No allow rule opens a peer's address: a service of the host that listens on the wildcard would
// answer there. What stays inside the namespace (the tenant's own address, its loopback) never
// comes here: StaysInside().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/ip_address.h"
#include "netproxy/cidr_set.h"
#include "netproxy/config.h"

namespace bailey::netproxy {

enum class Verdict : uint8_t {
  kAllow,
  kAskPeer,  // allowed if a tenant's listener is published at exactly that address and port
  kDeny,
};

enum class DenyReason : uint8_t {
  kNone,
  kRule,  // a deny rule, or the default
  kPort,
  kHost,
  kTenant,  // a peer's address, and nothing of a tenant listens there
  kLoopback,
  kLinkLocal,  // and metadata services
  kPrivate,    // and all that is reserved
  kMulticast,  // and broadcast
};

struct Judgement {
  Verdict verdict = Verdict::kDeny;
  DenyReason reason = DenyReason::kNone;  // kNone unless denied
  bool operator==(const Judgement&) const = default;
};

// The counter of a denial, its label on /metrics, and what the tenant's call fails with: EACCES,
// as from `ip route add prohibit`.
NetCounter DenialCounter(DenyReason reason);
const char* DenialName(DenyReason reason);
inline constexpr int kDenialErrno = EACCES;

class EgressPolicy {
 public:
  // `host`: all addresses of the host, those of peers may be among them (a peer is a peer first).
  EgressPolicy(ProxyConfig config, std::vector<Cidr> host);

  // `destination` as the socket API has it; port 0 for protocols without ports.
  Judgement Judge(const Endpoint& destination) const;
  // The same for every address of `range` at once, where all of them have the same answer:
  // whenever no prefix that the policy knows lies strictly within `range`.
  Judgement JudgeRange(const Cidr& range, uint16_t port) const;

  // Whether somebody at `guest` who has sent the tenant a datagram may be answered although Judge()
  // denies him; a peer is not for this to say. The source may be invented, so nobody is who would
  // have to be behind a wall: where the host is, or in a special range that is not the tenant's
  // own. Rules do not matter.
  bool MayBeAnswered(const Endpoint& guest) const;
  bool IsPeer(const IpAddress& address) const;

  // Why `destination` was denied, for a person: the wall's name, or "rule deny *:25". The policy
  // may have changed since: `reason` is what counts.
  std::string Explain(DenyReason reason, const Endpoint& destination) const;

  // Destinations that the tenant's own namespace serves or refuses, and that no policy is about.
  bool StaysInside(const IpAddress& address) const;
  // The same as prefixes: the tenant's address, ::1, and 127.0.0.0/8 (only 127.0.0.0/16 when the
  // tenant's address is in it, so that the rest can be judged); 0.0.0.0 and ::, which Linux takes
  // for the loopback in connect(2) and sendto(2).
  static std::vector<Cidr> InsideRanges(const IpAddress& tenant_ip);

  const ProxyConfig& config() const { return config_; }
  // Every prefix and every port at which an answer may change, for the kernel's copy of it. But for
  // addresses that carry a peer: those would be five for each of perhaps a thousand.
  std::vector<Cidr> Boundaries() const;
  std::vector<uint16_t> PortBoundaries() const;  // first ports of segments; sorted, begins with 0

 private:
  struct Match {
    const EgressRule* rule = nullptr;  // the most specific; nullptr if none matches
    bool denies = false;
  };
  Match MostSpecific(const Cidr& range, uint16_t port) const;
  bool Opened(const EgressRule& wall, const Cidr& range, uint16_t port) const;
  DenyReason JudgeWalls(const Cidr& range, uint16_t port) const;      // step 4
  DenyReason JudgeCarried(const Cidr& carried, uint16_t port) const;  // step 5
  bool IsPeer(const Cidr& range) const;
  DenyReason WallOfCarried(const Cidr& carried) const;

  ProxyConfig config_;
  CidrSet peers_, host_;
  std::vector<Cidr> inside_;
};

}  // namespace bailey::netproxy
