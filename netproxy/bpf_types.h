/* What the BPF programs and the proxy share beside the tries of egress_map.h. Plain C, for
 * clang -target bpf as well. */
#pragma once

#include "netproxy/egress_map.h"

#ifdef __cplusplus
typedef uint64_t bailey_u64;
#else
typedef __u64 bailey_u64;
#endif

/* Slots of the sockmap with the proxy's sockets inside. */
enum bailey_socket { BAILEY_TCP4, BAILEY_TCP6, BAILEY_UDP4, BAILEY_UDP6, BAILEY_SOCKETS };

/* The DNS stub's place on the tenant's own loopback: DnsStubAddress(). */
#define BAILEY_DNS_ADDRESS 0x7f000035u
#define BAILEY_DNS_PORT 53

/* One refusal, for the log. Addresses in network order, IPv4 in the first word; ports in host
 * order, 0 if there is none yet. */
struct bailey_denial_notice {
  bailey_u32 to[4];
  bailey_u16 to_port, from_port;
  bailey_u8 v6, protocol, reason, unused;
};

/* What the cgroup programs refused, by DenyReason; the last slot is for binds. The one value of an
 * array map that the proxy has mapped. `told` counts the refusals since the proxy has last looked:
 * the first few give it a notice, so that a flood of them wakes it once. */
#define BAILEY_DENIAL_NOTICES 8
#define BAILEY_DENY_REASONS 16
#define BAILEY_DENY_BIND (BAILEY_DENY_REASONS - 1)
struct bailey_denials {
  bailey_u64 counted[BAILEY_DENY_REASONS];
  bailey_u64 reported[BAILEY_DENY_REASONS]; /* the proxy's: already on the counter page */
  bailey_u64 told;
  bailey_u64 lost_listen_events; /* the ring was full: look at everything again */
};

/* A listening TCP socket, or a bound UDP socket, of the tenant has come or gone. */
struct bailey_listen_event {
  bailey_u64 cookie;
  bailey_u16 port;
  bailey_u8 closed;
  bailey_u8 udp;
  bailey_u8 unused[4];
};

/* Who has sent a datagram to a published port of the tenant, and may be answered from it whatever
 * the policy says of that address. IPv4 in the first four bytes; ports in host order. */
struct bailey_guest {
  bailey_u8 address[16];
  bailey_u16 port;
  bailey_u16 own_port;
  bailey_u32 v6;
};
#define BAILEY_MOST_GUESTS 4096

/* What `hold` has taken away, from its IP header on. */
struct bailey_held {
  bailey_u32 size;
  bailey_u8 packet[];
};
/* The longest of each kind, of SYNs and of pings. Longer pings are lost. */
#define BAILEY_SYN_BYTES 124
#define BAILEY_ECHO_BYTES 2040
/* On what the proxy's sockets inside send: not to be held, and no business of the supervisor's
 * source guard (BAILEY_INSIDE_MARK there is the same). The tenant cannot set a mark. */
#define BAILEY_RAW_MARK 0x6261696c
