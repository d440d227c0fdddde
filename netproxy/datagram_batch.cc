#include "netproxy/datagram_batch.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace bailey::netproxy {
namespace {

constexpr size_t kSlot = 65536, kControl = 64;

// IP_RECVORIGDSTADDR.
Endpoint OriginalDestination(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    const bool v4 = c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR;
    const bool v6 = c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR;
    if (!v4 && !v6) continue;
    sockaddr_storage address{};
    std::memcpy(&address, CMSG_DATA(c), v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
    return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  }
  return {};
}

// The first refusal may be an ICMP error about another datagram, which waits in the socket for
// whoever comes next (IP_RECVERR, ip(7)): only the second is about this one.
int SendSome(int socket, std::span<mmsghdr> messages) {
  int sent = 0;
  for (int attempt = 0; sent <= 0 && attempt < 2; ++attempt)
    sent = ::sendmmsg(socket, messages.data(), static_cast<unsigned>(messages.size()),
                      MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent;
}

// sendmmsg(2) stops at the first that is refused, and says why when it is asked to begin there.
size_t SendMessages(int socket, std::span<mmsghdr> messages, int& error) {
  size_t taken = 0;
  while (!messages.empty()) {
    const int sent = SendSome(socket, messages);
    if (sent < 0 && error == 0) error = errno;
    taken += static_cast<size_t>(std::max(sent, 0));
    messages = messages.subspan(sent > 0 ? static_cast<size_t>(sent) : 1);
  }
  return taken;
}

}  // namespace

Status ReportErrors(int socket, int family) {
  const int on = 1;
  const bool v6 = family == AF_INET6;
  if (::setsockopt(socket, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on,
                   sizeof on) != 0)
    return Errno("IP_RECVERR");
  return {};
}

Result<Endpoint> NextError(int socket, int& error) {
  sockaddr_storage address{};
  alignas(cmsghdr) std::array<char, 512> control{};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return Errno("error queue");
  error = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_type != IP_RECVERR && c->cmsg_type != IPV6_RECVERR) continue;
    sock_extended_err said{};
    std::memcpy(&said, CMSG_DATA(c), sizeof said);
    error = static_cast<int>(said.ee_errno);
  }
  return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
}

DatagramBatch::DatagramBatch() {
  void* const memory = ::mmap(nullptr, kMost * kSlot, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  BAILEY_CHECK(memory != MAP_FAILED);
  memory_ = static_cast<uint8_t*>(memory);
  datagrams_.reserve(kMost);
}

DatagramBatch::~DatagramBatch() { ::munmap(memory_, kMost * kSlot); }

Result<std::span<const Datagram>> DatagramBatch::Receive(int socket) {
  std::array<sockaddr_storage, kMost> senders;
  std::array<iovec, kMost> parts;
  std::array<mmsghdr, kMost> messages{};
  alignas(cmsghdr) std::array<std::array<char, kControl>, kMost> control;
  for (size_t i = 0; i < kMost; ++i) {
    parts[i] = {memory_ + i * kSlot, kSlot};
    msghdr& message = messages[i].msg_hdr;
    message.msg_name = &senders[i];
    message.msg_namelen = sizeof senders[i];
    message.msg_iov = &parts[i];
    message.msg_iovlen = 1;
    message.msg_control = control[i].data();
    message.msg_controllen = control[i].size();
  }
  const int got = ::recvmmsg(socket, messages.data(), kMost, MSG_DONTWAIT, nullptr);
  if (got < 0) return Errno("receive datagrams");
  datagrams_.clear();
  for (size_t i = 0; i < static_cast<size_t>(got); ++i) {
    Datagram datagram;
    if (messages[i].msg_hdr.msg_namelen != 0)
      datagram.from = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&senders[i]));
    datagram.to = OriginalDestination(messages[i].msg_hdr);
    datagram.payload = {memory_ + i * kSlot, messages[i].msg_len};
    datagrams_.push_back(datagram);
  }
  return std::span<const Datagram>(datagrams_);
}

size_t SendAll(int socket, const Endpoint* to, std::span<const std::span<const uint8_t>> payloads,
               int& error) {
  std::array<iovec, DatagramBatch::kMost> parts;
  std::array<mmsghdr, DatagramBatch::kMost> messages;
  sockaddr_storage address{};
  const socklen_t size = to == nullptr ? 0 : to->ToSockaddr(&address);
  size_t taken = 0;
  error = 0;
  while (!payloads.empty()) {
    const size_t now = std::min(payloads.size(), messages.size());
    for (size_t i = 0; i < now; ++i) {
      parts[i] = {const_cast<uint8_t*>(payloads[i].data()), payloads[i].size()};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_name = to == nullptr ? nullptr : &address;
      messages[i].msg_hdr.msg_namelen = size;
    }
    taken += SendMessages(socket, {messages.data(), now}, error);
    payloads = payloads.subspan(now);
  }
  return taken;
}

}  // namespace bailey::netproxy
