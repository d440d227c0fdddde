#include "base/message.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace bailey {
namespace {

constexpr size_t kControlBytes = CMSG_SPACE(sizeof(int) * kMaxMessageFds);

Result<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Errno("socket path " + path, ENAMETOOLONG);
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

Result<UniqueFd> SeqpacketSocket() {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return Errno("socket");
  return socket;
}

std::vector<UniqueFd> TakeFds(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

Result<MessagePair> MakeMessagePair() {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return Errno("socketpair");
  return MessagePair{UniqueFd(pair[0]), UniqueFd(pair[1])};
}

Status SendMessage(int socket, std::string_view text, const std::vector<int>& fds) {
  if (text.empty() || text.size() > kMaxMessageBytes || fds.size() > kMaxMessageFds)
    return Errno("send message of " + std::to_string(text.size()) + " bytes", EMSGSIZE);
  iovec data{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  for (;;) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return Errno("send message");
  }
}

Result<Message> ReceiveMessage(int socket) {
  Message message;
  // Most messages are short: their length first, so that nobody pays for the longest one.
  ssize_t length = 0;
  do {
    length = ::recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return Errno("receive message");
  message.text.resize(std::min(static_cast<size_t>(length), kMaxMessageBytes));
  iovec data{message.text.data(), message.text.size()};
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return Errno("receive message");
  message.fds = TakeFds(header);
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Errno("receive message", EMSGSIZE);
  if (got == 0) return Errno("receive message", EPIPE);  // Nobody sends empty ones: see above.
  message.text.resize(static_cast<size_t>(got));
  return message;
}

Result<UniqueFd> ListenAt(const std::string& path, mode_t mode) {
  auto address = UnixAddress(path);
  if (!address) return address.error();
  auto socket = SeqpacketSocket();
  if (!socket) return socket.error();
  ::unlink(path.c_str());
  // The mode is set on the socket before it has a name: no moment with a wider one.
  if (::fchmod(socket->get(), mode) != 0) return Errno("fchmod " + path);
  if (::bind(socket->get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) != 0)
    return Errno("bind " + path);
  if (::listen(socket->get(), 64) != 0) return Errno("listen " + path);
  return socket;
}

Result<UniqueFd> ConnectTo(const std::string& path) {
  auto address = UnixAddress(path);
  if (!address) return address.error();
  auto socket = SeqpacketSocket();
  if (!socket) return socket.error();
  if (::connect(socket->get(), reinterpret_cast<sockaddr*>(&*address), sizeof *address) != 0)
    return Errno("connect " + path);
  return socket;
}

}  // namespace bailey
