// listening: the sock_ops program on the tenant's cgroup. Tells the proxy at once which TCP socket
// has begun to listen and which has stopped, by its cookie; what it listens on is sock_diag's to
// say.

// In this order: what is in bpf/ needs linux/bpf.h before it.
// clang-format off
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "netproxy/bpf_types.h"

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 64 * 1024);
} listen_events SEC(".maps");

// Shared with egress.bpf.c, for `lost_listen_events`.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct bailey_denials);
} denials SEC(".maps");

static __always_inline void Tell(struct bpf_sock_ops* ctx, __u8 closed) {
  struct bailey_listen_event event = {.port = (__u16)ctx->local_port, .closed = closed};
  event.cookie = bpf_get_socket_cookie(ctx);
  if (bpf_ringbuf_output(&listen_events, &event, sizeof event, 0) == 0) return;
  __u32 key = 0;
  struct bailey_denials* shared = bpf_map_lookup_elem(&denials, &key);
  if (shared) shared->lost_listen_events = 1;
}

SEC("sockops")
int listening(struct bpf_sock_ops* ctx) {
  switch (ctx->op) {
    case BPF_SOCK_OPS_TCP_LISTEN_CB:
      bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
      Tell(ctx, 0);
      break;
    case BPF_SOCK_OPS_STATE_CB:
      if (ctx->args[0] == BPF_TCP_LISTEN) Tell(ctx, 1);
      break;
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
      // Accepted sockets inherit the flag from their listener, and need it not.
      if (ctx->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG)
        bpf_sock_ops_cb_flags_set(ctx, 0);
      break;
  }
  return 1;
}

char LICENSE[] SEC("license") = "GPL";
