/* What shared_ports.bpf.c and the supervisor share. Plain C, for clang -target bpf as well. */
#pragma once

#ifdef __cplusplus
#include <cstdint>
typedef uint64_t bailey_shared_u64;
#else
#include <linux/types.h>
typedef __u64 bailey_shared_u64;
#endif

/* A bit for each TCP port. */
struct bailey_port_list {
  bailey_shared_u64 words[65536 / 64];
};
