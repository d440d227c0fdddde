// What the proxy and the supervisor do with a network, done once: programs are attached and seen to
// work, sockets are looked up. In a child with a network namespace of its own, with which all of it
// goes.
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/files.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "netproxy/bpf_programs.h"
#include "netproxy/socket_diag.h"
#include "supervisor/proxy_sockets.h"
#include "supervisor/shared_ports.h"
#include "tenants/doctor/host_checks.h"
#include "tenants/doctor/in_child.h"

namespace bailey::tenants {
namespace {

using netproxy::SocketDiag;

const IpAddress kHere = IpAddress::V4(0x7f000001);
constexpr timeval kPatience{0, 300'000};

Result<UniqueFd> NewSocket(int type) {
  UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  if (!socket) return Errno("socket");
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  return socket;
}

Status Enter() {
  if (::unshare(CLONE_NEWNET) != 0) return Errno("unshare the network");
  auto socket = NewSocket(SOCK_DGRAM);
  if (!socket) return socket.error();
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket->get(), SIOCSIFFLAGS, &request) != 0) return Errno("set lo up");
  return {};
}

Result<Endpoint> PlaceOf(const UniqueFd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return Errno("getsockname");
  return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
}

Status Connect(const UniqueFd& socket, const Endpoint& to) {
  sockaddr_storage address{};
  const socklen_t size = to.ToSockaddr(&address);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0)
    return Errno("connect to " + to.ToString());
  return {};
}

// A port that only the program leads to a listener.
Status TrySkLookup() {
  auto listener = supervisor::MakePublishedSocket(kHere, {Transport::kTcp, 0}, ::geteuid());
  if (!listener) return listener.error();
  const auto shared = supervisor::SharedPorts::Attach(kHere, std::move(*listener));
  if (!shared) return shared.error();
  BAILEY_TRY((*shared)->Add(1));
  auto client = NewSocket(SOCK_STREAM);
  if (!client) return client.error();
  return Connect(*client, {kHere, 1});
}

// Gives lo another address: one that is the tenant's to none.
Status AddForeignAddress(const IpAddress& address) {
  auto socket = NewSocket(SOCK_DGRAM);
  if (!socket) return socket.error();
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  sockaddr_storage place{};
  const socklen_t size = Endpoint{address, 0}.ToSockaddr(&place);
  std::memcpy(&request.ifr_addr, &place, size);
  if (::ioctl(socket->get(), SIOCSIFADDR, &request) != 0) return Errno("give lo an address");
  return {};
}

// A connect that is refused at once, and that the program holds.
Status TryTc() {
  const IpAddress tenant = IpAddress::V4(0xcb007107), foreign = IpAddress::V4(0xc0000201);
  BAILEY_TRY(AddForeignAddress(foreign));
  const auto connect = [&] {
    const auto socket = NewSocket(SOCK_STREAM);
    if (!socket) return socket.error().Errno();
    ::setsockopt(socket->get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
    const Status connected = Connect(*socket, {foreign, 1});
    return connected ? 0 : connected.error().Errno();
  };
  if (const int error = connect(); error != ECONNREFUSED) return Errno("connect on lo", error);
  const auto netns = OpenPath("/proc/self/ns/net", O_RDONLY);
  if (!netns) return netns.error();
  netproxy::KeptFds kept;
  BAILEY_TRY(netproxy::AttachHold(tenant, netns->get(), kept));
  if (const int error = connect(); error != EINPROGRESS)
    return Errno("a packet got past the tc program", error);
  return {};
}

// The two questions that the proxy has: who listens here, and who is there.
Status TrySockDiag() {
  const UniqueFd diag(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!diag) return Errno("sock_diag");
  for (const Transport transport : {Transport::kTcp, Transport::kUdp}) {
    auto socket = supervisor::MakePublishedSocket(kHere, {transport, 0}, ::geteuid());
    if (!socket) return socket.error();
    const auto place = PlaceOf(*socket);
    if (!place) return place.error();
    const auto found = SocketDiag(diag.get()).ListenerFor(transport, *place);
    if (!found) return found.error();
    const auto all = SocketDiag(diag.get()).Listeners(transport, place->port);
    if (!all) return all.error();
    if (all->size() != 1 || all->front().cookie != found->cookie)
      return Errno("sock_diag does not tell of a socket", EIO);
  }
  return {};
}

struct Trial {
  const char* name;
  Status (*attempt)();
  const char* purpose;
  const char* hint;
};
constexpr auto kTrials = std::to_array<Trial>({
    {"BPF sk_lookup", TrySkLookup, "connections to any address, many published ports",
     "needs CONFIG_BPF_SYSCALL and CONFIG_INET, and no lockdown of BPF"},
    {"BPF tc on clsact", TryTc, "refusals with the true errno",
     "needs CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF and CONFIG_NET_CLS_ACT, perhaps as modules: "
     "modprobe sch_ingress cls_bpf"},
    {"sock_diag", TrySockDiag, "what a tenant listens on",
     "needs CONFIG_INET_DIAG and CONFIG_INET_UDP_DIAG, perhaps as modules: modprobe tcp_diag "
     "udp_diag"},
});

}  // namespace

std::vector<HostCheck> CheckNetwork() {
  std::vector<HostCheck> checks;
  if (::geteuid() != 0)
    return {{"network", CheckResult::kWarning, "not tried", "sudo bailey doctor"}};
  for (const Trial& trial : kTrials) {
    const std::string said = AskInChild([&trial](int out) {
      Status tried = Enter();
      if (tried) tried = trial.attempt();
      const std::string text = tried ? "." : tried.error().Message();
      [[maybe_unused]] const ssize_t n = ::write(out, text.data(), text.size());
    });
    if (said == ".")
      checks.push_back({trial.name, CheckResult::kOk, trial.purpose, {}});
    else
      checks.push_back(
          {trial.name, CheckResult::kMissing, said.empty() ? "the trial died" : said, trial.hint});
  }
  return checks;
}

}  // namespace bailey::tenants
