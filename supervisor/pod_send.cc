#include "supervisor/pod_send.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace bailey::supervisor {
namespace {

union ControlBuffer {
  cmsghdr align;
  std::array<char, CMSG_SPACE(sizeof(int) * kMaxPodFds)> bytes;
};

}  // namespace

int SendPodBytes(int socket, const void* data, size_t size, std::span<const int> fds) {
  iovec text{const_cast<void*>(data), size};
  ControlBuffer control{};
  msghdr header{};
  header.msg_iov = &text;
  header.msg_iovlen = 1;
  if (fds.size() > kMaxPodFds) {
    errno = E2BIG;
    return -1;
  }
  if (!fds.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(size) ? 0 : -1;
}

}  // namespace bailey::supervisor
