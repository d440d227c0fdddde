// The network namespace is the host's: its addresses, routes and settings can be read, not changed.
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tenants/probe/report.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "network";
constexpr uint32_t kNobodys = 0x4d7100cb;  // 203.0.113.77 in network order

// One rtnetlink request with a header of type T and at most one address; the kernel's answer.
template <class T>
struct Request {
  nlmsghdr header{};
  T body{};
  rtattr attribute{};
  uint32_t address = kNobodys;
};

template <class T>
int Ask(Request<T> request, uint16_t type, uint16_t flags, uint16_t attribute) {
  const int socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (socket < 0) return errno;
  request.attribute.rta_type = attribute;
  request.attribute.rta_len = RTA_LENGTH(sizeof request.address);
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  if (::send(socket, &request, sizeof request, 0) < 0) return errno;
  alignas(nlmsghdr) std::array<char, 4096> answer{};
  if (::recv(socket, answer.data(), answer.size(), 0) < 0) return errno;
  nlmsgerr error{};
  std::memcpy(&error, answer.data() + sizeof(nlmsghdr), sizeof error);
  ::close(socket);
  return -error.error;
}

int AddAddress() {
  Request<ifaddrmsg> request;
  request.body.ifa_family = AF_INET;
  request.body.ifa_prefixlen = 32;
  request.body.ifa_index = 1;
  const int result = Ask(request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, IFA_LOCAL);
  if (result == kThrough) Ask(request, RTM_DELADDR, 0, IFA_LOCAL);
  return result;
}

int AddRoute() {
  Request<rtmsg> request;
  request.body.rtm_family = AF_INET;
  request.body.rtm_dst_len = 32;
  request.body.rtm_table = RT_TABLE_MAIN;
  request.body.rtm_protocol = RTPROT_STATIC;
  request.body.rtm_type = RTN_UNREACHABLE;
  const int result = Ask(request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, RTA_DST);
  if (result == kThrough) Ask(request, RTM_DELROUTE, 0, RTA_DST);
  return result;
}

int AddRule() {
  Request<fib_rule_hdr> request;
  request.body.family = AF_INET;
  request.body.src_len = 32;
  request.body.action = FR_ACT_UNREACHABLE;
  const int result = Ask(request, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, FRA_SRC);
  if (result == kThrough) Ask(request, RTM_DELRULE, 0, FRA_SRC);
  return result;
}

// The MTU that it has already.
int SetMtu() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  if (socket < 0 || ::ioctl(socket, SIOCGIFMTU, &request) != 0) return errno;
  return ResultOf(::ioctl(socket, SIOCSIFMTU, &request));
}

// "lo" alone, from /proc/net/dev: two lines of titles, then "  NAME: numbers".
std::string Interfaces() {
  const std::string table = ReadText("/proc/self/net/dev");
  std::string names;
  for (size_t at = 0, end = 0; (end = table.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = table.substr(at, end - at);
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t start = line.find_first_not_of(' ');
    names += (names.empty() ? "" : " ") + line.substr(start, colon - start);
  }
  return names;
}

}  // namespace

void TryNetworkSettings(Report& report, const Options&) {
  report.Denied(kWall, "add an address", {EPERM}, AddAddress);
  report.Denied(kWall, "add a route", {EPERM}, AddRoute);
  report.Denied(kWall, "add a routing rule", {EPERM}, AddRule);
  report.Denied(kWall, "change an interface", {EPERM}, SetMtu);
  for (const char* path : {"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ping_group_range",
                           "/proc/sys/net/core/somaxconn"})
    report.Denied(kWall, std::string("write ") + path, {EROFS, EACCES, EPERM, ENOENT},
                  [path] { return ResultOf(::open(path, O_WRONLY | O_CLOEXEC)); });
  const std::string names = Interfaces();
  report.Fact(kWall, "the interfaces there are", "lo", names, names == "lo");
}

}  // namespace bailey::probe
