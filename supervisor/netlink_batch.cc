#include "supervisor/netlink_batch.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace bailey::supervisor {
namespace {

Result<UniqueFd> OpenAndSend(const std::vector<std::byte>& bytes) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return Errno("rtnetlink socket");
  // The kernel answers within the send: a wait here means that something is broken.
  const timeval patience{2, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::send(socket.get(), bytes.data(), bytes.size(), 0) < 0) return Errno("rtnetlink send");
  return socket;
}

}  // namespace

nlmsghdr* NetlinkBatch::Last() { return reinterpret_cast<nlmsghdr*>(&bytes_[last_]); }

void NetlinkBatch::Begin(const char* what, uint16_t type, uint16_t flags, const void* body,
                         size_t size) {
  last_ = bytes_.size();
  bytes_.resize(last_ + NLMSG_SPACE(size));
  const nlmsghdr header{static_cast<uint32_t>(NLMSG_LENGTH(size)), type,
                        static_cast<uint16_t>(flags | NLM_F_REQUEST | NLM_F_ACK),
                        static_cast<uint32_t>(names_.size()), 0};
  std::memcpy(&bytes_[last_], &header, sizeof header);
  std::memcpy(&bytes_[last_] + NLMSG_HDRLEN, body, size);
  names_.emplace_back(what);
}

void NetlinkBatch::Attribute(uint16_t type, const void* data, size_t size) {
  const size_t at = bytes_.size();
  bytes_.resize(at + RTA_SPACE(size));
  const rtattr header{static_cast<uint16_t>(RTA_LENGTH(size)), type};
  std::memcpy(&bytes_[at], &header, sizeof header);
  if (size > 0) std::memcpy(&bytes_[at] + RTA_LENGTH(0), data, size);
  Last()->nlmsg_len = static_cast<uint32_t>(bytes_.size() - last_);
}

Status NetlinkBatch::Send() const {
  const auto socket = OpenAndSend(bytes_);
  if (!socket) return socket.error();
  std::array<char, 8192> buffer;
  for (size_t acknowledged = 0; acknowledged < names_.size();) {
    const ssize_t got = ::recv(socket->get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno("rtnetlink receive");
    for (size_t at = 0; at + NLMSG_HDRLEN + sizeof(nlmsgerr) <= static_cast<size_t>(got);) {
      nlmsghdr header{};
      nlmsgerr verdict{};
      std::memcpy(&header, buffer.data() + at, sizeof header);
      std::memcpy(&verdict, buffer.data() + at + NLMSG_HDRLEN, sizeof verdict);
      at += std::max<size_t>(NLMSG_ALIGN(header.nlmsg_len), NLMSG_HDRLEN);
      if (header.nlmsg_type != NLMSG_ERROR) continue;
      ++acknowledged;
      if (verdict.error != 0)
        return Errno("rtnetlink: " + names_.at(header.nlmsg_seq), -verdict.error);
    }
  }
  return {};
}

Result<std::vector<std::byte>> NetlinkBatch::Ask() const {
  const auto socket = OpenAndSend(bytes_);
  if (!socket) return socket.error();
  std::vector<std::byte> buffer(8192);
  const ssize_t got = ::recv(socket->get(), buffer.data(), buffer.size(), 0);
  if (got < 0) return Errno("rtnetlink receive");
  buffer.resize(static_cast<size_t>(got));
  nlmsghdr header{};
  nlmsgerr verdict{};
  if (buffer.size() < NLMSG_HDRLEN + sizeof verdict) return Errno("rtnetlink: short answer", EIO);
  std::memcpy(&header, buffer.data(), sizeof header);
  std::memcpy(&verdict, buffer.data() + NLMSG_HDRLEN, sizeof verdict);
  if (header.nlmsg_type == NLMSG_ERROR)
    return Errno("rtnetlink: " + names_.front(), -verdict.error);
  return buffer;
}

}  // namespace bailey::supervisor
