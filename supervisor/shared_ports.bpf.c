// shared_ports: the sk_lookup program of the host's network namespace by which one listener serves
// many ports of one tenant. It runs for packets that no connected socket matches, before the kernel
// looks for listeners, and judges
//   the tenant's own address, a TCP port of the list → the tenant's shared listener
//   the port that this listener is bound to, which the list does not have → refused, as a port is
//   that nobody listens on
//   everything else, of this address and of others   → the kernel's ordinary lookup
// The address is a constant and the list is the supervisor's: nothing a proxy says or does makes
// the program touch what is for another.

// In this order: what is in bpf/ needs linux/bpf.h before it.
// clang-format off
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "supervisor/shared_ports_map.h"

#define AF_INET 2
#define TCP 6

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct bailey_port_list);
} listed SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} shared_listener SEC(".maps");

// Set before loading. Addresses in network order; one of zeros is none.
const volatile __u32 own4 = 0;
const volatile __u32 own6[4] = {0, 0, 0, 0};
const volatile __u32 listener_port = 0;

static __always_inline int IsOwn(struct bpf_sk_lookup* ctx) {
  if (ctx->family == AF_INET) return own4 != 0 && ctx->local_ip4 == own4;
  __u32 a = ctx->local_ip6[0], b = ctx->local_ip6[1], c = ctx->local_ip6[2], d = ctx->local_ip6[3];
  if ((own6[0] | own6[1] | own6[2] | own6[3]) == 0) return 0;
  return a == own6[0] && b == own6[1] && c == own6[2] && d == own6[3];
}

SEC("sk_lookup")
int share(struct bpf_sk_lookup* ctx) {
  if (ctx->protocol != TCP || !IsOwn(ctx)) return SK_PASS;
  __u32 key = 0, port = ctx->local_port & 0xffff;
  struct bailey_port_list* list = bpf_map_lookup_elem(&listed, &key);
  if (!list || !(list->words[port / 64] >> port % 64 & 1))
    return port == listener_port ? SK_DROP : SK_PASS;
  struct bpf_sock* listener = bpf_map_lookup_elem(&shared_listener, &key);
  if (!listener) return SK_DROP;
  long error = bpf_sk_assign(ctx, listener, 0);
  bpf_sk_release(listener);
  return error ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
