#include "netproxy/host_addresses.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

namespace bailey::netproxy {
namespace {

constexpr size_t kBuffer = size_t{32} * 1024;
constexpr std::chrono::milliseconds kBurst{10};

const char* Payload(const nlmsghdr& header) {
  return reinterpret_cast<const char*>(&header) + NLMSG_HDRLEN;
}

Result<UniqueFd> RouteSocket(uint32_t groups) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return Errno("rtnetlink socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Errno("bind rtnetlink");
  return fd;
}

std::optional<Cidr> AddressIn(const nlmsghdr& header) {
  ifaddrmsg body{};
  std::memcpy(&body, Payload(header), sizeof body);
  const auto* at = Payload(header) + NLMSG_ALIGN(sizeof body);
  const char* const end = reinterpret_cast<const char*>(&header) + header.nlmsg_len;
  std::optional<Cidr> found;
  while (at + sizeof(rtattr) <= end) {
    rtattr attribute{};
    std::memcpy(&attribute, at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > end) break;
    const char* const data = at + RTA_LENGTH(0);
    const size_t size = attribute.rta_len - RTA_LENGTH(0);
    // On a point-to-point link IFA_ADDRESS is the peer's, and IFA_LOCAL ours.
    const bool ours =
        attribute.rta_type == IFA_LOCAL || (attribute.rta_type == IFA_ADDRESS && !found);
    if (ours && body.ifa_family == AF_INET && size == 4) {
      uint32_t network = 0;
      std::memcpy(&network, data, sizeof network);
      found = Cidr{IpAddress::V4(ntohl(network)), 32};
    } else if (ours && body.ifa_family == AF_INET6 && size == 16) {
      std::array<uint8_t, 16> bytes{};
      std::memcpy(bytes.data(), data, bytes.size());
      found = Cidr{IpAddress::V6(bytes), 128};
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return found;
}

}  // namespace

Result<HostAddresses> HostAddresses::Open() {
  auto ask = RouteSocket(0);
  if (!ask) return ask.error();
  auto events = RouteSocket(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
  if (!events) return events.error();
  return HostAddresses(std::move(*ask), std::move(*events));
}

Result<std::vector<Cidr>> HostAddresses::List() const {
  struct {
    nlmsghdr header{};
    ifaddrmsg body{};
  } request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETADDR;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  if (::send(ask_.get(), &request, sizeof request, 0) != sizeof request)
    return Errno("list the host's addresses");
  std::vector<Cidr> all;
  alignas(nlmsghdr) std::array<char, kBuffer> buffer;
  for (;;) {
    const ssize_t got = ::recv(ask_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) return Errno("list the host's addresses");
    auto left = static_cast<unsigned>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return all;
      if (header->nlmsg_type == NLMSG_ERROR) return Errno("list the host's addresses", EIO);
      if (header->nlmsg_type != RTM_NEWADDR) continue;
      if (auto address = AddressIn(*header)) all.push_back(*address);
    }
  }
}

Status HostAddresses::Watch(EventLoop& loop, std::function<void()> changed) {
  changed_ = std::move(changed);
  return loop.Watch(events_.get(), EPOLLIN, [this, &loop](uint32_t) { OnEvent(loop); });
}

void HostAddresses::OnEvent(EventLoop& loop) {
  std::array<char, kBuffer> ignored;
  // ENOBUFS (some were lost) is a change like any other: the list is read anew anyway.
  while (::recv(events_.get(), ignored.data(), ignored.size(), MSG_DONTWAIT) > 0 ||
         errno == ENOBUFS) {
  }
  if (std::exchange(scheduled_, true)) return;
  loop.After(kBurst, [this] {
    scheduled_ = false;
    changed_();
  });
}

}  // namespace bailey::netproxy
