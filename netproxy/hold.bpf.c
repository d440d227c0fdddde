// hold: the tc program at the way out of the tenant's lo. A SYN to a foreign address is copied to
// the proxy and taken away (the sender believes that it left). The proxy dials, and then either
// sends the very same SYN again, with a mark, or answers it as the destination or a router would:
// so a connect(2) inside fails with the errno that it would have on a host of its own.
//
// A ping goes the same way: here, where every address is local, the kernel itself would answer it.

// In this order: what is in bpf/ needs linux/bpf.h before it.
// clang-format off
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
// clang-format on

#include "netproxy/bpf_types.h"

#define ETHERNET 14
#define IPV4 20
#define IPV6 40
#define TCP 20
#define ICMP 8
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_ICMPV6 58
#define ECHO 8
#define ECHO6 128
#define FLAGS 13  // offset in the TCP header
#define SYN 0x02
#define SYN_ACK 0x12

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 256 * 1024);
} held_syns SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 64 * 1024);
} held_echoes SEC(".maps");

const volatile __u32 own4 = 0;
const volatile __u32 own6[4] = {0, 0, 0, 0};
const volatile __u32 loopback_mask = 0;

static __always_inline int IsForeign4(const __u8* ip) {
  __u32 to = *(const __u32*)(ip + 16);
  return to != own4 && (to & loopback_mask) != bpf_htonl(0x7f000000);
}

static __always_inline int IsForeign6(const __u8* ip) {
  const __u32* to = (const __u32*)(ip + 24);
  if ((to[0] | to[1] | to[2]) == 0 && to[3] == bpf_htonl(1)) return 0;
  return to[0] != own6[0] || to[1] != own6[1] || to[2] != own6[2] || to[3] != own6[3];
}

// Headers with options or extensions go on unheld: the proxy accepts those first and dials then.
static __always_inline int IsHeld(struct __sk_buff* packet) {
  const __u8* end = (const __u8*)(long)packet->data_end;
  const __u8* ip = (const __u8*)(long)packet->data + ETHERNET;
  const __u8* tcp = 0;
  if (packet->protocol == bpf_htons(0x0800)) {
    if (ip + IPV4 + TCP > end || ip[0] != 0x45 || ip[9] != PROTOCOL_TCP) return 0;
    if (!IsForeign4(ip)) return 0;
    tcp = ip + IPV4;
  } else if (packet->protocol == bpf_htons(0x86dd)) {
    if (ip + IPV6 + TCP > end || ip[6] != PROTOCOL_TCP || !IsForeign6(ip)) return 0;
    tcp = ip + IPV6;
  } else {
    return 0;
  }
  return (tcp[FLAGS] & SYN_ACK) == SYN;
}

static __always_inline int IsForeignEcho(struct __sk_buff* packet) {
  const __u8* end = (const __u8*)(long)packet->data_end;
  const __u8* ip = (const __u8*)(long)packet->data + ETHERNET;
  if (packet->protocol == bpf_htons(0x0800)) {
    if (ip + IPV4 > end || ip[9] != PROTOCOL_ICMP || !IsForeign4(ip)) return 0;
    __u8 type = 0;
    __u32 header = (ip[0] & 15) * 4;
    return bpf_skb_load_bytes(packet, ETHERNET + header, &type, 1) == 0 && type == ECHO;
  }
  if (packet->protocol != bpf_htons(0x86dd)) return 0;
  if (ip + IPV6 + 1 > end || ip[6] != PROTOCOL_ICMPV6 || !IsForeign6(ip)) return 0;
  return ip[IPV6] == ECHO6;
}

// `packet` has at most `most` bytes.
static __always_inline int Hold(struct __sk_buff* packet, void* ring, __u32 least, __u32 most) {
  __u32 size = packet->len - ETHERNET;
  struct bailey_held* held = bpf_ringbuf_reserve(ring, sizeof *held + most, 0);
  if (!held) return TC_ACT_SHOT;  // full: TCP tries again in a second
  held->size = size;
  asm volatile("" : "+r"(size));
  size &= 2047;  // for the verifier
  if (size < least) goto drop;
  // Else clang makes one comparison of the two, after which Linux 6.12 knows no bounds.
  asm volatile("" : "+r"(size));
  if (size > most || bpf_skb_load_bytes(packet, ETHERNET, held->packet, size)) goto drop;
  bpf_ringbuf_submit(held, 0);
  return TC_ACT_STOLEN;
drop:
  bpf_ringbuf_discard(held, 0);
  return TC_ACT_SHOT;
}

SEC("tc")
int hold(struct __sk_buff* packet) {
  if (packet->mark == BAILEY_RAW_MARK) return TC_ACT_OK;
  if (IsForeignEcho(packet)) {
    if (packet->len - ETHERNET > BAILEY_ECHO_BYTES) return TC_ACT_SHOT;
    return Hold(packet, &held_echoes, IPV4 + ICMP, BAILEY_ECHO_BYTES);
  }
  if (!IsHeld(packet)) return TC_ACT_OK;
  // Data in the SYN (Fast Open): unheld.
  if (packet->len - ETHERNET > BAILEY_SYN_BYTES) return TC_ACT_OK;
  return Hold(packet, &held_syns, IPV4 + TCP, BAILEY_SYN_BYTES);
}

char LICENSE[] SEC("license") = "GPL";
