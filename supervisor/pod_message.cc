#include "supervisor/pod_message.h"

#include <poll.h>

#include <cerrno>

namespace bailey::supervisor {

Status AwaitReadable(int socket, int milliseconds) {
  pollfd wait{socket, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&wait, 1, milliseconds);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return Errno("poll");
  return ready == 0 ? Errno("wait", ETIMEDOUT) : Status();
}

}  // namespace bailey::supervisor
