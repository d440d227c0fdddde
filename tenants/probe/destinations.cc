// Places that no tenant may reach: the host, its loopback services, link-local and metadata.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include "tenants/probe/report.h"
#include "tenants/probe/socket_address.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "destinations";
constexpr int kConnectMs = 3000;

int Connect(int family, int type, const sockaddr* address, socklen_t length) {
  const int socket = ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return errno;
  if (::connect(socket, address, length) == 0) return kThrough;
  if (errno != EINPROGRESS) return errno;
  pollfd writable{socket, POLLOUT, 0};
  if (::poll(&writable, 1, kConnectMs) != 1) return kNothing;
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

int ConnectTo(const std::string& ip, int port) {
  const SocketAddress address = AddressOf(ip, port);
  return Connect(address.family, SOCK_STREAM, address.get(), address.length);
}

int SendTo(const std::string& ip, int port) {
  const SocketAddress address = AddressOf(ip, port);
  const int socket = ::socket(address.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return errno;
  return ResultOf(::sendto(socket, "", 0, MSG_DONTWAIT, address.get(), address.length));
}

int ConnectAbstract(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy_n(name.begin(), std::min(name.size(), sizeof address.sun_path - 2),
              address.sun_path + 1);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return Connect(AF_UNIX, SOCK_STREAM, reinterpret_cast<const sockaddr*>(&address), length);
}

// What the world would see us as. Choosing a route sends nothing.
std::string SourceOf(const std::string& to) {
  const SocketAddress address = AddressOf(to, 53);
  const int socket = ::socket(address.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0 || ::connect(socket, address.get(), address.length) != 0) return ResultName(errno);
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length);
  ::close(socket);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (own.ss_family == AF_INET)
    ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&own)->sin_addr, text.data(), text.size());
  else
    ::inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(&own)->sin6_addr, text.data(),
                text.size());
  return text.data();
}

}  // namespace

void TryDestinations(Report& report, const Options& options) {
  const std::vector<int> denied = {EACCES, EPERM, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL};
  for (const char* ip : {"169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254",
                         "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "169.254.170.2"})
    report.Denied(kWall, std::string("connect to ") + ip + ":80, metadata", denied,
                  [ip] { return ConnectTo(ip, 80); });
  report.Denied(kWall, "send to 169.254.169.254:53", denied,
                [] { return SendTo("169.254.169.254", 53); });
  report.Denied(kWall, "send to 224.0.0.1, multicast", denied,
                [] { return SendTo("224.0.0.1", 9); });
  report.Denied(kWall, "send to 255.255.255.255, broadcast", denied,
                [] { return SendTo("255.255.255.255", 9); });
  report.Denied(kWall, "connect to 10.255.255.254:22, private", denied,
                [] { return ConnectTo("10.255.255.254", 22); });
  if (options.outside_port != 0) {
    // Somebody listens there on the host; inside, 127.0.0.1 is the tenant's own.
    std::vector<int> refused = denied;
    refused.push_back(ECONNREFUSED);
    for (const char* ip : {"127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"})
      report.Denied(kWall, std::string("connect to the host's service on ") + ip, refused,
                    [&, ip] { return ConnectTo(ip, options.outside_port); });
  }
  if (!options.outside_abstract.empty())
    report.Denied(kWall, "connect to an abstract socket of the host's", {ECONNREFUSED},
                  [&] { return ConnectAbstract(options.outside_abstract); });
  const bool v6 = options.ip.find(':') != std::string::npos;
  const std::string source = SourceOf(v6 ? "2001:4860:4860::8888" : "8.8.8.8");
  const bool refused = source == "EACCES";  // a tenant that may not go there at all
  report.Fact(kWall, "the source of connections", options.ip, source,
              source == options.ip || refused);
}

}  // namespace bailey::probe
