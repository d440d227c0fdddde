// source_guard: what a tenant's servers may send at all. Whoever has taken the proxy over can make
// it do anything but speak from another address than the tenant's: the kernel drops such packets
// on their way out, and refuses such binds. Two exceptions: what the proxy sends inside the
// tenant's own namespace, as other peers (marked by it while it had the right to, and only on lo);
// and questions to the host's resolvers, from the address that the kernel chose for them.

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
#define BIND 1
#define PACKET 2
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

// The kernel's own choice, kept by connect(2): not one that came with a message (IP_PKTINFO).
static __always_inline int IsFromItsSocket(struct __sk_buff* packet,
                                           const struct bailey_guard_place* from) {
  struct bpf_sock* socket = packet->sk;
  if (!socket) return 0;
  socket = bpf_sk_fullsock(socket);
  if (!socket) return 0;
  // Volatile: each is a load of its own, at an offset that the verifier knows.
  const __u32 v4 = *(volatile __u32*)&socket->src_ip4;
  const __u32 a = *(volatile __u32*)&socket->src_ip6[0];
  const __u32 b = *(volatile __u32*)&socket->src_ip6[1];
  const __u32 c = *(volatile __u32*)&socket->src_ip6[2];
  const __u32 d = *(volatile __u32*)&socket->src_ip6[3];
  return from->v6 ? Is(from->address, a, b, c, d) : v4 == from->address[0];
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
  struct bailey_guard_notice notice = {.how = PACKET};
  const int has_ports = Read(packet, &notice);
  if (IsOwn(&notice.from)) return LET_THROUGH;
  if (has_ports && bpf_map_lookup_elem(&resolvers, &notice.to) &&
      IsFromItsSocket(packet, &notice.from))
    return LET_THROUGH;
  return Stop(&notice);
}

static __always_inline int JudgeBind(struct bpf_sock_addr* ctx,
                                     struct bailey_guard_notice* notice) {
  const __u32* a = notice->from.address;
  if (bpf_get_netns_cookie(ctx) != host_netns) return LET_THROUGH;
  if ((a[0] | a[1] | a[2] | a[3]) == 0 || IsOwn(&notice->from)) return LET_THROUGH;
  bpf_set_retval(-EADDRNOTAVAIL);
  return Stop(notice);
}

SEC("cgroup/bind4")
int guard_bind4(struct bpf_sock_addr* ctx) {
  struct bailey_guard_notice notice = {.how = BIND};
  notice.from.address[0] = ctx->user_ip4;
  return JudgeBind(ctx, &notice);
}

SEC("cgroup/bind6")
int guard_bind6(struct bpf_sock_addr* ctx) {
  struct bailey_guard_notice notice = {.how = BIND};
  __u32 a = ctx->user_ip6[0], b = ctx->user_ip6[1], c = ctx->user_ip6[2], d = ctx->user_ip6[3];
  if ((a | b) == 0 && c == bpf_htonl(0xffff)) {
    notice.from.address[0] = d;  // IPv4-mapped
  } else {
    notice.from.v6 = 1;
    notice.from.address[0] = a;
    notice.from.address[1] = b;
    notice.from.address[2] = c;
    notice.from.address[3] = d;
  }
  return JudgeBind(ctx, &notice);
}

char LICENSE[] SEC("license") = "GPL";
