// egress: the cgroup programs that refuse, with an exact errno and at once, what a tenant's socket
// may not connect, send or bind to. They hold a copy of the policy (netproxy/kernel_policy.h);
// whatever they let through the proxy judges again.

// In this order: what is in bpf/ needs linux/bpf.h before it.
// clang-format off
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
// clang-format on

#include "netproxy/bpf_types.h"

#define IPPROTO_UDP 17
#define EACCES 13
#define EADDRNOTAVAIL 99
#define REFUSE 0
#define LET_THROUGH 1
#define REASON_RULE 1  // DenyReason::kRule

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct bailey_egress_key4);
  __type(value, struct bailey_egress_value);
} egress4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct bailey_egress_key6);
  __type(value, struct bailey_egress_value);
} egress6 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct bailey_denials);
} denials SEC(".maps");

// Filled by the proxy with those guests alone whom the policy would not let be answered.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, BAILEY_MOST_GUESTS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct bailey_guest);
  __type(value, __u8);
} guests SEC(".maps");

// There is something new in `denials`, and the first few of it.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} denial_notices SEC(".maps");

const volatile __u32 own4 = 0;
const volatile __u32 own6[4] = {0, 0, 0, 0};
const volatile __u32 loopback_mask = 0;

static __always_inline int Refuse(struct bailey_denial_notice* notice, int error) {
  __u32 key = 0;
  struct bailey_denials* all = bpf_map_lookup_elem(&denials, &key);
  if (all) {
    __sync_fetch_and_add(&all->counted[notice->reason & (BAILEY_DENY_REASONS - 1)], 1);
    __u64 before = __sync_fetch_and_add(&all->told, 1);
    if (before < BAILEY_DENIAL_NOTICES)
      if (bpf_ringbuf_output(&denial_notices, notice, sizeof *notice, 0) && before == 0)
        all->told = 0;
  }
  bpf_set_retval(-error);
  return REFUSE;
}

// The reason to deny, or -1.
static __always_inline int Judge(const struct bailey_egress_value* value, __u32 port) {
  // A lookup that finds nothing has lost its map.
  if (!value) return REASON_RULE;
#pragma unroll
  for (int i = 0; i < BAILEY_EGRESS_PORTS; ++i)
    if (port <= value->ports[i].last_port)
      return value->ports[i].deny ? value->ports[i].reason : -1;
  return REASON_RULE;
}

static __always_inline int IsGuest(struct bpf_sock_addr* ctx, struct bailey_guest* guest) {
  if (ctx->protocol != IPPROTO_UDP) return 0;
  struct bpf_sock* socket = ctx->sk;
  if (!socket) return 0;
  guest->port = bpf_ntohs(ctx->user_port);
  guest->own_port = socket->src_port;
  return bpf_map_lookup_elem(&guests, guest) != 0;
}

static __always_inline void ReadPlace4(struct bpf_sock_addr* ctx,
                                       struct bailey_denial_notice* notice) {
  notice->protocol = ctx->protocol;
  notice->to[0] = ctx->user_ip4;
  notice->to_port = bpf_ntohs(ctx->user_port);
}

static __always_inline void ReadPlace6(struct bpf_sock_addr* ctx,
                                       struct bailey_denial_notice* notice) {
  notice->v6 = 1;
  notice->protocol = ctx->protocol;
  notice->to[0] = ctx->user_ip6[0];
  notice->to[1] = ctx->user_ip6[1];
  notice->to[2] = ctx->user_ip6[2];
  notice->to[3] = ctx->user_ip6[3];
  notice->to_port = bpf_ntohs(ctx->user_port);
}

static __always_inline void ReadOwnPort(struct bpf_sock_addr* ctx,
                                        struct bailey_denial_notice* notice) {
  struct bpf_sock* socket = ctx->sk;
  if (socket) notice->from_port = socket->src_port;
}

static __always_inline int Judge4(struct bpf_sock_addr* ctx) {
  struct bailey_denial_notice notice = {};
  ReadPlace4(ctx, &notice);
  ReadOwnPort(ctx, &notice);
  struct bailey_egress_key4 key = {.prefix = 32};
  __builtin_memcpy(key.address, notice.to, sizeof key.address);
  int reason = Judge(bpf_map_lookup_elem(&egress4, &key), notice.to_port);
  if (reason < 0) return LET_THROUGH;
  struct bailey_guest guest = {};
  __builtin_memcpy(guest.address, notice.to, 4);
  if (IsGuest(ctx, &guest)) return LET_THROUGH;
  notice.reason = reason;
  return Refuse(&notice, EACCES);
}

static __always_inline int Judge6(struct bpf_sock_addr* ctx) {
  struct bailey_denial_notice notice = {};
  ReadPlace6(ctx, &notice);
  ReadOwnPort(ctx, &notice);
  struct bailey_egress_key6 key = {.prefix = 128};
  __builtin_memcpy(key.address, notice.to, sizeof key.address);
  int reason = Judge(bpf_map_lookup_elem(&egress6, &key), notice.to_port);
  if (reason < 0) return LET_THROUGH;
  struct bailey_guest guest = {};
  // An IPv4-mapped address is that IPv4 address.
  guest.v6 = (notice.to[0] | notice.to[1]) != 0 || notice.to[2] != bpf_htonl(0xffff);
  if (guest.v6)
    __builtin_memcpy(guest.address, notice.to, 16);
  else
    __builtin_memcpy(guest.address, &notice.to[3], 4);
  if (IsGuest(ctx, &guest)) return LET_THROUGH;
  notice.reason = reason;
  return Refuse(&notice, EACCES);
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr* ctx) { return Judge4(ctx); }

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr* ctx) { return Judge6(ctx); }

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr* ctx) { return Judge4(ctx); }

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr* ctx) { return Judge6(ctx); }

static __always_inline int MayBind4(__u32 address) {
  return address == 0 || address == own4 || (address & loopback_mask) == bpf_htonl(0x7f000000);
}

SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr* ctx) {
  if (MayBind4(ctx->user_ip4)) return LET_THROUGH;
  struct bailey_denial_notice notice = {.reason = BAILEY_DENY_BIND};
  ReadPlace4(ctx, &notice);
  return Refuse(&notice, EADDRNOTAVAIL);
}

SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr* ctx) {
  __u32 a = ctx->user_ip6[0], b = ctx->user_ip6[1], c = ctx->user_ip6[2], d = ctx->user_ip6[3];
  if ((a | b | c) == 0 && (d == 0 || d == bpf_htonl(1))) return LET_THROUGH;
  if ((a | b) == 0 && c == bpf_htonl(0xffff) && MayBind4(d)) return LET_THROUGH;
  if (a == own6[0] && b == own6[1] && c == own6[2] && d == own6[3]) return LET_THROUGH;
  struct bailey_denial_notice notice = {.reason = BAILEY_DENY_BIND};
  ReadPlace6(ctx, &notice);
  return Refuse(&notice, EADDRNOTAVAIL);
}

char LICENSE[] SEC("license") = "GPL";
