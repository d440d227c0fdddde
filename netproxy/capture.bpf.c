// capture: the sk_lookup program of one tenant's network namespace. It runs for packets that no
// connected socket matches, before the kernel looks for listeners, and judges the address, never
// the port:
//   the tenant's own address and its loopback → the kernel's ordinary lookup, refusal included
//   the DNS stub's address and port           → the proxy's socket
//   every other destination                   → the proxy's socket, even where the tenant has a
//                                               wildcard listener on that port
//   no socket of the proxy's in the map       → dropped: fails closed
// The proxy's own sockets are bound to addresses that are never the tenant's, so the ordinary
// lookup cannot find them.

// In this order: what is in bpf/ needs linux/bpf.h before it.
// clang-format off
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
// clang-format on

#include "netproxy/bpf_types.h"

#define AF_INET 2
#define IPPROTO_TCP 6

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, BAILEY_SOCKETS);
  __type(key, __u32);
  __type(value, __u64);
} proxy_sockets SEC(".maps");

// Set before loading. Network order; an address of zeros is none.
const volatile __u32 own4 = 0;
const volatile __u32 own6[4] = {0, 0, 0, 0};
// 127/8, or 127.0/16 for a tenant whose address is itself in 127/8.
const volatile __u32 loopback_mask = 0;

static __always_inline int StaysInside4(struct bpf_sk_lookup* ctx) {
  __u32 to = ctx->local_ip4;
  if (to == bpf_htonl(BAILEY_DNS_ADDRESS) && ctx->local_port == BAILEY_DNS_PORT) return 0;
  return to == own4 || (to & loopback_mask) == bpf_htonl(0x7f000000);
}

static __always_inline int StaysInside6(struct bpf_sk_lookup* ctx) {
  __u32 a = ctx->local_ip6[0], b = ctx->local_ip6[1], c = ctx->local_ip6[2], d = ctx->local_ip6[3];
  if ((a | b | c) == 0 && d == bpf_htonl(1)) return 1;
  if ((own6[0] | own6[1] | own6[2] | own6[3]) == 0) return 0;
  return a == own6[0] && b == own6[1] && c == own6[2] && d == own6[3];
}

SEC("sk_lookup")
int capture(struct bpf_sk_lookup* ctx) {
  __u32 key;
  if (ctx->family == AF_INET) {
    if (StaysInside4(ctx)) return SK_PASS;
    key = ctx->protocol == IPPROTO_TCP ? BAILEY_TCP4 : BAILEY_UDP4;
  } else {
    if (StaysInside6(ctx)) return SK_PASS;
    key = ctx->protocol == IPPROTO_TCP ? BAILEY_TCP6 : BAILEY_UDP6;
  }
  struct bpf_sock* socket = bpf_map_lookup_elem(&proxy_sockets, &key);
  if (!socket) return SK_DROP;
  long error = bpf_sk_assign(ctx, socket, 0);
  bpf_sk_release(socket);
  return error ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
