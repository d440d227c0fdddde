// SendPod: a plain struct and descriptors over a SEQPACKET socket, between clone and exec and in
// bailey-init. The other half is supervisor/pod_message.h.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

namespace bailey::supervisor {

inline constexpr size_t kMaxPodFds = 4;

// Async-signal-safe; never raises SIGPIPE. 0, or -1 and errno.
int SendPodBytes(int socket, const void* data, size_t size, std::span<const int> fds);

template <class Pod>
int SendPod(int socket, const Pod& pod, std::span<const int> fds = {}) {
  static_assert(std::is_trivially_copyable_v<Pod>);
  return SendPodBytes(socket, &pod, sizeof pod, fds);
}

}  // namespace bailey::supervisor
