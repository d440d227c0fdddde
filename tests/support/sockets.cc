#include "tests/support/sockets.h"

#include <gtest/gtest.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>

#include "tests/support/require.h"

namespace bailey {
namespace {

constexpr timeval kPatience{10, 0};

socklen_t Fill(const Endpoint& endpoint, sockaddr_storage& address) {
  return endpoint.ToSockaddr(&address);
}

}  // namespace

Endpoint At(const std::string& address, uint16_t port) {
  return {*IpAddress::Parse(address), port};
}

UniqueFd PatientSocket(int type, int family, int protocol) {
  UniqueFd socket(::socket(family, type | SOCK_CLOEXEC, protocol));
  Require(socket.get() >= 0, "socket");
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  return socket;
}

int ConnectTo(const UniqueFd& socket, const Endpoint& to) {
  sockaddr_storage address{};
  const socklen_t size = Fill(to, address);
  return ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 ? 0 : errno;
}

int SendTo(const UniqueFd& socket, const Endpoint& to, std::string_view text) {
  sockaddr_storage address{};
  const socklen_t size = Fill(to, address);
  const ssize_t sent = ::sendto(socket.get(), text.data(), text.size(), MSG_NOSIGNAL,
                                reinterpret_cast<sockaddr*>(&address), size);
  return sent < 0 ? errno : 0;
}

int BindAt(const UniqueFd& socket, const Endpoint& place) {
  sockaddr_storage address{};
  const socklen_t size = Fill(place, address);
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 ? 0 : errno;
}

void Listen(const UniqueFd& socket, const Endpoint& place) {
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ASSERT_EQ(BindAt(socket, place), 0) << place.ToString();
  ASSERT_EQ(::listen(socket.get(), 4096), 0) << place.ToString();
}

UniqueFd Accept(const UniqueFd& listener, Endpoint* from) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  UniqueFd accepted(
      ::accept4(listener.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC));
  EXPECT_GE(accepted.get(), 0) << "accept: errno " << errno;
  if (!accepted) return accepted;
  ::setsockopt(accepted.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(accepted.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (from != nullptr) *from = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  return accepted;
}

Endpoint LocalEnd(const UniqueFd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
}

Endpoint RemoteEnd(const UniqueFd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
}

void Send(const UniqueFd& socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    ASSERT_GT(sent, 0) << "send: errno " << errno;
    text.remove_prefix(static_cast<size_t>(sent));
  }
}

std::string Receive(const UniqueFd& socket, size_t bytes) {
  std::string text(bytes, '\0');
  size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::recv(socket.get(), text.data() + have, bytes - have, 0);
    EXPECT_GE(got, 0) << "recv: errno " << errno;
    if (got <= 0) break;
    have += static_cast<size_t>(got);
  }
  text.resize(have);
  return text;
}

std::string ReceiveDatagram(const UniqueFd& socket, Endpoint* from) {
  char buffer[65536];
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const ssize_t got = ::recvfrom(socket.get(), buffer, sizeof buffer, 0,
                                 reinterpret_cast<sockaddr*>(&address), &size);
  EXPECT_GE(got, 0) << "recvfrom: errno " << errno;
  *from = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  return {buffer, static_cast<size_t>(std::max<ssize_t>(got, 0))};
}

int ReceiveErrno(const UniqueFd& socket) {
  char byte = 0;
  const ssize_t got = ::recv(socket.get(), &byte, 1, 0);
  if (got > 0) return -1;
  return got == 0 ? 0 : errno;
}

}  // namespace bailey
