/* What source_guard.bpf.c and the supervisor share. Plain C, for clang -target bpf as well. */
#pragma once

#ifdef __cplusplus
#include <cstdint>
typedef uint64_t bailey_guard_u64;
typedef uint32_t bailey_guard_u32;
typedef uint16_t bailey_guard_u16;
typedef uint8_t bailey_guard_u8;
#else
#include <linux/types.h>
typedef __u64 bailey_guard_u64;
typedef __u32 bailey_guard_u32;
typedef __u16 bailey_guard_u16;
typedef __u8 bailey_guard_u8;
#endif

/* The mark of the proxy's sockets inside the tenant's namespace: BAILEY_RAW_MARK of
 * netproxy/bpf_types.h. Setting one takes CAP_NET_ADMIN, which a running proxy does not have. */
#define BAILEY_INSIDE_MARK 0x6261696c
#define BAILEY_GUARD_RESOLVERS 64

/* A resolver of the host's. Address in network order, IPv4 in the first word; port in host order.
 */
struct bailey_guard_place {
  bailey_guard_u32 address[4];
  bailey_guard_u16 port;
  bailey_guard_u8 v6;
  bailey_guard_u8 unused;
};

/* What was tried. */
#define BAILEY_GUARD_BIND 1
#define BAILEY_GUARD_SEND 2
#define BAILEY_GUARD_CONNECT 3

/* One that was stopped. `how` is one of those. */
struct bailey_guard_notice {
  struct bailey_guard_place from, to;
  bailey_guard_u32 how;
  bailey_guard_u32 unused;
};

/* `told` is 1 while a notice waits to be read: a flood of packets wakes the supervisor once. */
struct bailey_guard_count {
  bailey_guard_u64 stopped;
  bailey_guard_u64 told;
};
