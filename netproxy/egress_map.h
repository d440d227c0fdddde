/* The layout that the proxy and its BPF programs share: one LPM trie per family, from a destination
 * prefix to what becomes of each port. Plain C, for clang -target bpf as well. Addresses are in
 * network order; ports and lengths in host order. */
#pragma once

#ifdef __cplusplus
#include <cstdint>
typedef uint32_t bailey_u32;
typedef uint16_t bailey_u16;
typedef uint8_t bailey_u8;
#else
#include <linux/types.h>
typedef __u32 bailey_u32;
typedef __u16 bailey_u16;
typedef __u8 bailey_u8;
#endif

/* Keys as BPF_MAP_TYPE_LPM_TRIE wants them. */
struct bailey_egress_key4 {
  bailey_u32 prefix;
  bailey_u8 address[4];
};
struct bailey_egress_key6 {
  bailey_u32 prefix;
  bailey_u8 address[16];
};

/* Segments of ports in ascending order: the first whose last_port is not below the port has the
 * answer. The last one used ends at 65535. deny 0: let through, the proxy judges. */
#define BAILEY_EGRESS_PORTS 8
struct bailey_egress_ports {
  bailey_u16 last_port;
  bailey_u8 deny;
  bailey_u8 reason; /* a DenyReason */
};
struct bailey_egress_value {
  struct bailey_egress_ports ports[BAILEY_EGRESS_PORTS];
};
