// The proxy's BPF programs: loaded and attached once, by the first proxy of a tenant, as root.
// Their links and maps are kept descriptors: the programs stay attached until the supervisor
// closes the last of them, whatever happens to a proxy.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"
#include "netproxy/bpf_types.h"
#include "netproxy/kept_fds.h"

namespace bailey::netproxy {

// Names of kept descriptors.
inline constexpr char kProxySocketsMap[] = "map.proxy_sockets";
inline constexpr char kEgress4Map[] = "map.egress4";
inline constexpr char kEgress6Map[] = "map.egress6";
inline constexpr char kDenialsMap[] = "map.denials";
inline constexpr char kDenialNoticesMap[] = "map.denial_notices";
inline constexpr char kListenEventsMap[] = "map.listen_events";
inline constexpr char kHeldSynsMap[] = "map.held_syns";
inline constexpr char kHeldEchoesMap[] = "map.held_echoes";
inline constexpr char kGuestsMap[] = "map.guests";
inline constexpr char kBoundUdpMap[] = "map.bound_udp";

// Everything that AttachPrograms adds, for the check of what was adopted.
std::vector<std::string> ProgramFdNames();

// Attaches `hold` alone.
Status AttachHold(const IpAddress& tenant_ip, int netns, KeptFds& kept);
// Attaches `capture` to the network namespace, `hold` to its lo and the rest to the v2 cgroup.
// Until the tries are filled, every connect fails with EACCES; until the sockets are in place,
// every foreign destination is dropped. Needs CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN.
Status AttachPrograms(const IpAddress& tenant_ip, int netns, int cgroup, KeptFds& kept);

// The proxy's sockets inside, into the slots of `capture`'s map.
Status SetProxySocket(const KeptFds& kept, bailey_socket slot, int socket);

// Whether a UDP socket of the tenant's was bound by it, rather than given a port by the kernel.
bool WasBound(const KeptFds& kept, uint64_t cookie);

// Lets the tenant answer a guest, or no more. A map that is full leaves it to the policy.
void SetGuest(const KeptFds& kept, const bailey_guest& guest, bool present);
// Those that an earlier proxy knew.
void ForgetGuests(const KeptFds& kept);

// The shared value of the denials map, mapped for reading and writing; unmapped at exit.
Result<bailey_denials*> MapDenials(const KeptFds& kept);

}  // namespace bailey::netproxy
