// Receiving what SendPod has sent.
#pragma once

#include <cstring>
#include <type_traits>
#include <vector>

#include "base/message.h"
#include "base/result.h"
#include "supervisor/pod_send.h"

namespace bailey::supervisor {

template <class Pod>
struct PodMessage {
  Pod pod;
  std::vector<UniqueFd> fds;
};

// EPIPE when the peer has closed, EPROTO when it has sent something else.
template <class Pod>
Result<PodMessage<Pod>> ReceivePod(int socket) {
  static_assert(std::is_trivially_copyable_v<Pod>);
  auto received = ReceiveMessage(socket);
  if (!received) return received.error();
  if (received->text.size() != sizeof(Pod)) return Errno("receive message", EPROTO);
  PodMessage<Pod> message{{}, std::move(received->fds)};
  std::memcpy(&message.pod, received->text.data(), sizeof(Pod));
  return message;
}

// Waits until `socket` can be read; ETIMEDOUT. A closed one can be.
Status AwaitReadable(int socket, int milliseconds);

}  // namespace bailey::supervisor
