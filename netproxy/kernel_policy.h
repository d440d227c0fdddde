// The part of an EgressPolicy that the kernel can decide: prefixes with verdicts, for the LPM
// tries of the cgroup/connect and cgroup/sendmsg programs. They answer with an exact errno, at
// once, blocking socket or not, where the proxy would have accepted already.
//
// The invariant: a lookup may deny only what Judge() denies. Whatever it lets through is judged by
// the proxy again, exactly. Only three things need that: Teredo's client address, which no prefix
// can express; addresses that carry a peer's; and ports beyond BAILEY_EGRESS_PORTS segments. What
// stays inside the namespace, the DNS stub with it, is always let through.
#pragma once

#include <vector>

#include "base/ip_address.h"
#include "netproxy/egress_map.h"
#include "netproxy/egress_policy.h"

namespace bailey::netproxy {

struct KernelPrefix {
  Cidr prefix;  // IPv6 ones include the IPv4-mapped forms of the IPv4 ones (connect6 sees those)
  bailey_egress_value value;
};

// Sorted by prefix; none that repeats the answer of the one around it. Always has 0.0.0.0/0 and
// ::/0: a lookup that finds nothing has lost its map, and must deny.
std::vector<KernelPrefix> KernelPolicy(const EgressPolicy& policy);

bailey_egress_key4 Key4(const Cidr& prefix);
bailey_egress_key6 Key6(const Cidr& prefix);

}  // namespace bailey::netproxy
