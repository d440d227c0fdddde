#include "tests/support/hostile_speaker.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <set>

#include "base/ip_address.h"
#include "base/message.h"
#include "tests/support/hostile_sockets.h"

namespace bailey::hostile {
namespace {

std::string At(const boost::json::object& plan, const char* key) {
  return boost::json::value_to<std::string>(plan.at(key));
}

std::string PortOf(const UniqueFd& socket) {
  const std::string place = LocalPlace(socket);
  return place.substr(place.rfind(':') + 1);
}

}  // namespace

Speaker::Speaker(const boost::json::object& plan, int control)
    : own_(At(plan, "own")),
      other_(At(plan, "other")),
      udp_(At(plan, "udp")),
      tcp_(At(plan, "tcp")),
      resolver_(At(plan, "resolver")),
      resolver6_(At(plan, "resolver6")),
      control_(control) {}

void Speaker::Run() {
  Datagrams();
  Questions();
  TwoConnects(AF_INET, "two connects");
  TwoConnects(AF_INET6, "two mapped connects");
  Streams();
  ReuseAnAcceptedOne();
  ::usleep(300'000);
  Say("has spoken");
}

void Speaker::Datagrams() {
  const UniqueFd bound = MakeSocket(SOCK_DGRAM);
  SayErrno("bind udp", Bind(bound, other_ + ":0"));
  SendTo(bound, udp_, "bound to another");
  SayErrno("bind mapped", Bind(MakeSocket(SOCK_DGRAM, AF_INET6), other_ + ":0"));
  SayErrno("bind everywhere", Bind(MakeSocket(SOCK_DGRAM), "0.0.0.0:0"));
  SayErrno("bind everywhere v6", Bind(MakeSocket(SOCK_DGRAM, AF_INET6), "[::]:0"));
  SendTo(MakeSocket(SOCK_DGRAM), udp_, "as the host");
  SendTo(MakeSocket(SOCK_DGRAM), udp_, "by packet info", other_ + ":0");
  const UniqueFd tenants = MakeSocket(SOCK_DGRAM);
  Bind(tenants, own_ + ":0");
  SendTo(tenants, udp_, "bound, and packet info", other_ + ":0");
  SendTo(tenants, udp_, "as the tenant");
}

void Speaker::Questions() {
  const UniqueFd asks = MakeSocket(SOCK_DGRAM);
  SayErrno("connect to the resolver", Connect(asks, resolver_));
  Send(asks, "a question");
  SendTo(asks, resolver_, "a question as another", other_ + ":0");
  SendTo(asks, udp_, "as the host, connected to the resolver");
  SendTo(MakeSocket(SOCK_DGRAM), resolver_, "a question, unbound", other_ + ":0");
  const UniqueFd asks6 = MakeSocket(SOCK_DGRAM, AF_INET6);
  SayErrno("connect to the resolver v6", Connect(asks6, resolver6_));
  Send(asks6, "a question");
}

// The first would make the other's address the socket's own, and the second keeps it.
void Speaker::TwoConnects(int family, const std::string& name) {
  const UniqueFd socket = MakeSocket(SOCK_DGRAM, family);
  SayErrno(name, Connect(socket, other_ + ":9"));
  Connect(socket, resolver_);
  Send(socket, name == "two connects" ? "a question" : "a mapped question");
}

void Speaker::Streams() {
  const UniqueFd stream = MakeSocket(SOCK_STREAM);
  SayErrno("bind tcp", Bind(stream, other_ + ":0"));
  SayErrno("connect tcp", Connect(stream, tcp_));
  Connect(MakeSocket(SOCK_STREAM, AF_INET6), tcp_);
}

// A socket that the supervisor's listener has accepted, taken apart and bound anew.
void Speaker::ReuseAnAcceptedOne() {
  if (!SendMessage(control_, R"({"op":"listener","port":"81"})")) return;
  const auto reply = ReceiveMessage(control_);
  if (!reply || reply->fds.empty()) return Say("no listener");
  const UniqueFd client = MakeSocket(SOCK_STREAM);
  Bind(client, own_ + ":0");
  Connect(client, own_ + ":81");
  const UniqueFd accepted(
      ::accept4(reply->fds[0].get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNSPEC;
  (void)::connect(accepted.get(), &nowhere, sizeof nowhere);
  SayErrno("bind an accepted one", Bind(accepted, other_ + ":0"));
  Connect(accepted, tcp_);
}

Eavesdropper::Eavesdropper(const boost::json::object& plan)
    : own_(At(plan, "own")), raw_(MakeSocket(SOCK_RAW, AF_INET, IPPROTO_ICMP)) {
  Bind(raw_, own_ + ":0");
}

void Eavesdropper::Run() {
  SayErrno("widen a raw socket", Bind(raw_, "0.0.0.0:0"));
  // Sending takes a port on every address, though nothing of it leaves.
  const UniqueFd everywhere = MakeSocket(SOCK_DGRAM), done = MakeSocket(SOCK_DGRAM);
  SendTo(everywhere, own_ + ":9", "nothing");
  Bind(done, own_ + ":0");
  Say("hears at " + PortOf(everywhere) + ", done at " + PortOf(done));
  std::set<std::string> heard;
  std::array<pollfd, 3> all = {pollfd{raw_.get(), POLLIN, 0}, pollfd{everywhere.get(), POLLIN, 0},
                               pollfd{done.get(), POLLIN, 0}};
  do {
    ::poll(all.data(), all.size(), -1);
    std::array<uint8_t, 2048> packet;
    const ssize_t got = ::recv(raw_.get(), packet.data(), packet.size(), 0);
    if (got >= 20)
      heard.insert("a ping's error for " + IpAddress::V4(uint32_t{packet[16]} << 24 |
                                                         uint32_t{packet[17]} << 16 |
                                                         uint32_t{packet[18]} << 8 | packet[19])
                                               .ToString());
    if (::recv(everywhere.get(), packet.data(), packet.size(), 0) > 0) heard.insert("a datagram");
  } while ((all[2].revents & POLLIN) == 0);
  for (const std::string& each : heard) Say("heard " + each);
  Say("done");
}

}  // namespace bailey::hostile
