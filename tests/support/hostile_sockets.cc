#include "tests/support/hostile_sockets.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/ip_address.h"

namespace bailey::hostile {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

int Option(const UniqueFd& socket, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  ::getsockopt(socket.get(), SOL_SOCKET, option, &value, &size);
  return value;
}

Address AddressOf(const std::string& place, int family) {
  const size_t colon = place.rfind(':');
  std::string ip = place.substr(0, colon);
  if (ip.starts_with('[')) ip = ip.substr(1, ip.size() - 2);
  const auto port = static_cast<uint16_t>(std::atoi(place.c_str() + colon + 1));
  Address address;
  const IpAddress parsed = *IpAddress::Parse(ip);
  if (parsed.family() == family) {
    address.size = Endpoint{parsed, port}.ToSockaddr(&address.storage);
    return address;
  }
  std::array<uint8_t, 16> mapped{};
  mapped[10] = mapped[11] = 0xff;
  std::memcpy(&mapped[12], parsed.bytes().data(), 4);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, mapped.data(), mapped.size());
  std::memcpy(&address.storage, &v6, sizeof v6);
  address.size = sizeof v6;
  return address;
}

}  // namespace

void Say(const std::string& text) { std::fprintf(stderr, "hostile: %s\n", text.c_str()); }

void SayErrno(const std::string& what, int error) { Say(what + " errno " + std::to_string(error)); }

UniqueFd MakeSocket(int type, int family, int protocol) {
  return UniqueFd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

int Bind(const UniqueFd& socket, const std::string& place) {
  const Address address = AddressOf(place, Option(socket, SO_DOMAIN));
  return ::bind(socket.get(), address.get(), address.size) == 0 ? 0 : errno;
}

int Connect(const UniqueFd& socket, const std::string& place) {
  const Address address = AddressOf(place, Option(socket, SO_DOMAIN));
  const int error = ::connect(socket.get(), address.get(), address.size) == 0 ? 0 : errno;
  if (Option(socket, SO_TYPE) == SOCK_STREAM) ::usleep(100'000);
  return error;
}

void Send(const UniqueFd& socket, const std::string& text) {
  ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

void SendTo(const UniqueFd& socket, const std::string& to, const std::string& text,
            const std::string& source) {
  Address address = AddressOf(to, AF_INET);
  iovec data{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in_pktinfo))] = {};
  msghdr message{};
  message.msg_name = &address.storage;
  message.msg_namelen = address.size;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!source.empty()) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = IPPROTO_IP;
    head->cmsg_type = IP_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    const Address chosen = AddressOf(source, AF_INET);
    sockaddr_in from{};
    std::memcpy(&from, &chosen.storage, sizeof from);
    in_pktinfo info{};
    info.ipi_spec_dst = from.sin_addr;
    std::memcpy(CMSG_DATA(head), &info, sizeof info);
  }
  ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
}

std::string LocalPlace(const UniqueFd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "?";
  return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address)).ToString();
}

}  // namespace bailey::hostile
