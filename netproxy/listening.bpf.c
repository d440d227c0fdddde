// listening: the programs on the tenant's cgroup that tell the proxy at once which TCP socket has
// begun to listen and which has stopped, and which UDP socket was bound and which is closed, by its
// cookie; what it listens on is sock_diag's to say. A UDP socket that only connects or sends, and
// so was given some port, is nobody's server and not told of.

// In this order: what is in bpf/ needs linux/bpf.h before it.
// clang-format off
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "netproxy/bpf_types.h"

#define IPPROTO_UDP 17

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

// UDP sockets that were bound, by cookie, and their port: known when they close.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u64);
  __type(value, __u16);
} bound_udp SEC(".maps");

static __always_inline void Send(const struct bailey_listen_event* event) {
  if (bpf_ringbuf_output(&listen_events, (void*)event, sizeof *event, 0) == 0) return;
  __u32 key = 0;
  struct bailey_denials* shared = bpf_map_lookup_elem(&denials, &key);
  if (shared) shared->lost_listen_events = 1;
}

static __always_inline void Tell(struct bpf_sock_ops* ctx, __u8 closed) {
  struct bailey_listen_event event = {.port = (__u16)ctx->local_port, .closed = closed};
  event.cookie = bpf_get_socket_cookie(ctx);
  Send(&event);
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

static __always_inline int OnBind(struct bpf_sock* ctx) {
  if (ctx->protocol != IPPROTO_UDP) return 1;
  __u64 cookie = bpf_get_socket_cookie(ctx);
  __u16 port = (__u16)ctx->src_port;
  if (bpf_map_update_elem(&bound_udp, &cookie, &port, BPF_ANY)) return 1;  // full: unpublished
  struct bailey_listen_event event = {.cookie = cookie, .port = port, .udp = 1};
  Send(&event);
  return 1;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock* ctx) { return OnBind(ctx); }

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock* ctx) { return OnBind(ctx); }

SEC("cgroup/sock_release")
int sock_release(struct bpf_sock* ctx) {
  if (ctx->protocol != IPPROTO_UDP) return 1;
  __u64 cookie = bpf_get_socket_cookie(ctx);
  __u16* port = bpf_map_lookup_elem(&bound_udp, &cookie);
  if (!port) return 1;
  struct bailey_listen_event event = {.cookie = cookie, .port = *port, .closed = 1, .udp = 1};
  bpf_map_delete_elem(&bound_udp, &cookie);
  Send(&event);
  return 1;
}

char LICENSE[] SEC("license") = "GPL";
