// source_guard: what a tenant's servers may send and receive at all. Whoever has taken the proxy
// over can make it do anything but speak from another address than the tenant's, or hear what is
// for another: the kernel drops such packets on their way out and in, and refuses such binds and
// connects. Two exceptions: what the proxy does inside the tenant's own namespace, as other peers
// (by sockets that it marked while it had the right to); and questions to the host's resolvers,
// from the address that the kernel chose for them. Nobody else may get such an address into a
// socket: a first connect(2) to an address of the host's would make it the source for good.

// In this order: what is in bpf/ needs linux/bpf.h before it.
// clang-format off
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
// clang-format on

#include "supervisor/source_guard_map.h"

#define EADDRNOTAVAIL 99
#define STOP 0
#define LET_THROUGH 1
#define LOOPBACK 1  // the index of lo in every network namespace
#define TCP 6
#define UDP 17

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, BAILEY_GUARD_RESOLVERS);
  __type(key, struct bailey_guard_place);
  __type(value, __u8);
} resolvers SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct bailey_guard_count);
} guard_count SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} guard_notices SEC(".maps");

const volatile __u32 own4 = 0;
const volatile __u32 own6[4] = {0, 0, 0, 0};
const volatile __u64 host_netns = 0;  // the cookie of the namespace that the tenant's IP is in

static __always_inline int Stop(const struct bailey_guard_notice* notice) {
  __u32 key = 0;
  struct bailey_guard_count* count = bpf_map_lookup_elem(&guard_count, &key);
  if (!count) return STOP;
  __sync_fetch_and_add(&count->stopped, 1);
  if (__sync_val_compare_and_swap(&count->told, 0, 1) == 0)
    if (bpf_ringbuf_output(&guard_notices, (void*)notice, sizeof *notice, 0)) count->told = 0;
  return STOP;
}

static __always_inline int Is(const __u32* a, __u32 b0, __u32 b1, __u32 b2, __u32 b3) {
  return a[0] == b0 && a[1] == b1 && a[2] == b2 && a[3] == b3;
}

static __always_inline int IsOwn(const struct bailey_guard_place* place) {
  if (!place->v6) return own4 != 0 && place->address[0] == own4;
  return (own6[0] | own6[1] | own6[2] | own6[3]) != 0 &&
         Is(place->address, own6[0], own6[1], own6[2], own6[3]);
}

static __always_inline int IsUnset(const struct bailey_guard_place* place) {
  return Is(place->address, 0, 0, 0, 0);
}

// Volatile: each is a load of its own, at an offset that the verifier knows.
#define WORD(field) (*(volatile __u32*)&(field))

static __always_inline void ReadSource(struct bpf_sock* socket, struct bailey_guard_place* from) {
  if (!from->v6) {
    from->address[0] = WORD(socket->src_ip4);
    return;
  }
  from->address[0] = WORD(socket->src_ip6[0]);
  from->address[1] = WORD(socket->src_ip6[1]);
  from->address[2] = WORD(socket->src_ip6[2]);
  from->address[3] = WORD(socket->src_ip6[3]);
}

// Both ends are those that connect(2) gave the socket: the source is no sender's choice, as by
// IP_PKTINFO, and guard_connect has seen to it that it is the kernel's for this very peer.
static __always_inline int IsOfItsConnection(struct __sk_buff* packet,
                                             const struct bailey_guard_notice* notice) {
  struct bpf_sock* socket = packet->sk;
  if (!socket) return 0;
  socket = bpf_sk_fullsock(socket);
  if (!socket) return 0;
  struct bailey_guard_place source = {.v6 = notice->from.v6};
  ReadSource(socket, &source);
  const __u32* s = source.address;
  if (!Is(notice->from.address, s[0], s[1], s[2], s[3])) return 0;
  if (bpf_ntohs(socket->dst_port) != notice->to.port) return 0;
  if (!notice->to.v6) return notice->to.address[0] == WORD(socket->dst_ip4);
  return Is(notice->to.address, WORD(socket->dst_ip6[0]), WORD(socket->dst_ip6[1]),
            WORD(socket->dst_ip6[2]), WORD(socket->dst_ip6[3]));
}

// One of the proxy's sockets in the tenant's namespace.
static __always_inline int IsInside(struct __sk_buff* packet) {
  struct bpf_sock* socket = packet->sk;
  if (!socket) return 0;
  socket = bpf_sk_fullsock(socket);
  return socket && socket->mark == BAILEY_INSIDE_MARK && packet->ifindex == LOOPBACK;
}

// Fills `notice` with where the packet comes from and goes to. Returns 0 if it has no ports.
static __always_inline int Read(struct __sk_buff* packet, struct bailey_guard_notice* notice) {
  __u32 offset = 0;
  __u8 protocol = 0;
  if (packet->protocol == bpf_htons(0x0800)) {
    __u8 head[20];
    if (bpf_skb_load_bytes(packet, 0, head, sizeof head)) return 0;
    __builtin_memcpy(notice->from.address, head + 12, 4);
    __builtin_memcpy(notice->to.address, head + 16, 4);
    // A later fragment begins with no ports.
    if ((head[6] & 0x1f) != 0 || head[7] != 0) return 0;
    protocol = head[9];
    offset = (head[0] & 15) * 4;
  } else {
    __u8 head[40];
    notice->from.v6 = notice->to.v6 = 1;
    if (bpf_skb_load_bytes(packet, 0, head, sizeof head)) return 0;
    __builtin_memcpy(notice->from.address, head + 8, 16);
    __builtin_memcpy(notice->to.address, head + 24, 16);
    protocol = head[6];
    offset = sizeof head;
  }
  if (protocol != TCP && protocol != UDP) return 0;
  __u16 ports[2];
  if (bpf_skb_load_bytes(packet, offset, ports, sizeof ports)) return 0;
  notice->from.port = bpf_ntohs(ports[0]);
  notice->to.port = bpf_ntohs(ports[1]);
  return 1;
}

SEC("cgroup_skb/egress")
int guard_egress(struct __sk_buff* packet) {
  if (packet->mark == BAILEY_INSIDE_MARK && packet->ifindex == LOOPBACK) return LET_THROUGH;
  struct bailey_guard_notice notice = {.how = BAILEY_GUARD_SEND};
  const int has_ports = Read(packet, &notice);
  if (IsOwn(&notice.from)) return LET_THROUGH;
  if (has_ports && bpf_map_lookup_elem(&resolvers, &notice.to) &&
      IsOfItsConnection(packet, &notice))
    return LET_THROUGH;
  return Stop(&notice);
}

// Raw sockets bind and connect past the programs below, and whatever sends unbound has a port on
// every address: nothing comes in by either. Not counted: it is strangers who send, and the honest
// proxy's raw socket is there a moment before it is bound.
SEC("cgroup_skb/ingress")
int guard_ingress(struct __sk_buff* packet) {
  if (IsInside(packet)) return LET_THROUGH;
  struct bailey_guard_notice ends = {};
  const int has_ports = Read(packet, &ends);
  if (IsOwn(&ends.to)) return LET_THROUGH;
  return has_ports && bpf_map_lookup_elem(&resolvers, &ends.from) ? LET_THROUGH : STOP;
}

static __always_inline int Refuse(const struct bailey_guard_notice* notice) {
  bpf_set_retval(-EADDRNOTAVAIL);
  return Stop(notice);
}

// What the caller names, by whichever family.
static __always_inline void Read4(struct bpf_sock_addr* ctx, struct bailey_guard_place* place) {
  place->address[0] = ctx->user_ip4;
  place->port = bpf_ntohs(ctx->user_port);
}

static __always_inline void Read6(struct bpf_sock_addr* ctx, struct bailey_guard_place* place) {
  const __u32 a = ctx->user_ip6[0], b = ctx->user_ip6[1], c = ctx->user_ip6[2],
              d = ctx->user_ip6[3];
  place->port = bpf_ntohs(ctx->user_port);
  if ((a | b) == 0 && c == bpf_htonl(0xffff)) {
    place->address[0] = d;  // IPv4-mapped
    return;
  }
  place->v6 = 1;
  place->address[0] = a;
  place->address[1] = b;
  place->address[2] = c;
  place->address[3] = d;
}

// The wildcard neither: it would take a port of every tenant's and of the host's.
static __always_inline int JudgeBind(struct bpf_sock_addr* ctx,
                                     const struct bailey_guard_notice* notice) {
  if (bpf_get_netns_cookie(ctx) != host_netns) return LET_THROUGH;
  return IsOwn(&notice->from) ? LET_THROUGH : Refuse(notice);
}

SEC("cgroup/bind4")
int guard_bind4(struct bpf_sock_addr* ctx) {
  struct bailey_guard_notice notice = {.how = BAILEY_GUARD_BIND};
  Read4(ctx, &notice.from);
  return JudgeBind(ctx, &notice);
}

SEC("cgroup/bind6")
int guard_bind6(struct bpf_sock_addr* ctx) {
  struct bailey_guard_notice notice = {.how = BAILEY_GUARD_BIND};
  Read6(ctx, &notice.from);
  return JudgeBind(ctx, &notice);
}

static __always_inline int JudgeConnect(struct bpf_sock_addr* ctx,
                                        struct bailey_guard_notice* notice) {
  if (bpf_get_netns_cookie(ctx) != host_netns) return LET_THROUGH;
  struct bpf_sock* socket = ctx->sk;
  if (!socket) return Refuse(notice);
  notice->from.v6 = notice->to.v6;
  ReadSource(socket, &notice->from);
  if (IsOwn(&notice->from)) return LET_THROUGH;
  if (IsUnset(&notice->from) && bpf_map_lookup_elem(&resolvers, &notice->to)) return LET_THROUGH;
  return Refuse(notice);
}

SEC("cgroup/connect4")
int guard_connect4(struct bpf_sock_addr* ctx) {
  struct bailey_guard_notice notice = {.how = BAILEY_GUARD_CONNECT};
  Read4(ctx, &notice.to);
  return JudgeConnect(ctx, &notice);
}

SEC("cgroup/connect6")
int guard_connect6(struct bpf_sock_addr* ctx) {
  struct bailey_guard_notice notice = {.how = BAILEY_GUARD_CONNECT};
  Read6(ctx, &notice.to);
  return JudgeConnect(ctx, &notice);
}

char LICENSE[] SEC("license") = "GPL";
