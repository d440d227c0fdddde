// The wall behind the proxy: one that was taken over, played by hostile_proxy, tries to speak from
// another address than its tenant's, and to hear what is for others. Nothing of it arrives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <set>

#include "base/counters.h"
#include "base/files.h"
#include "tests/ns/supervisor_process_world.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr char kVictim[] = "127.77.255.1";  // no tenant of the tests has it

UniqueFd BoundTo(int type, const std::string& ip) {
  const IpAddress parsed = *IpAddress::Parse(ip);
  UniqueFd socket(::socket(parsed.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_storage address{};
  const socklen_t size = Endpoint{parsed, 0}.ToSockaddr(&address);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  return socket;
}

// A socket at a free port of `ip`.
UniqueFd Victim(int type, const std::string& ip, std::string* place) {
  UniqueFd socket = BoundTo(type, ip);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(socket.get(), 16), 0);
  }
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  *place = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address)).ToString();
  return socket;
}

void SendTo(const UniqueFd& socket, const Endpoint& to) {
  sockaddr_storage address{};
  const socklen_t size = to.ToSockaddr(&address);
  ::sendto(socket.get(), "x", 1, MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size);
}

// What has arrived, each as "text from address".
std::multiset<std::string> Datagrams(const UniqueFd& socket) {
  std::multiset<std::string> all;
  for (;;) {
    char text[256];
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t got =
        ::recvfrom(socket.get(), text, sizeof text, 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) return all;
    all.insert(std::string(text, static_cast<size_t>(got)) + " from " +
               Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&from)).address.ToString());
  }
}

size_t Connections(const UniqueFd& listener, const IpAddress& wanted) {
  size_t foreign = 0;
  for (;;) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const UniqueFd accepted(
        ::accept4(listener.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC));
    if (!accepted) return foreign;
    if (Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&from)).address != wanted) ++foreign;
  }
}

// An address of the host's, as another tenant's is: with 127/8 alone, nothing would be sent from
// it unless a socket is bound to it.
class OtherTenant {
 public:
  OtherTenant() { EXPECT_EQ(std::system(("ip addr add " + Place()).c_str()), 0); }
  ~OtherTenant() { EXPECT_EQ(std::system(("ip addr del " + Place()).c_str()), 0); }
  OtherTenant(const OtherTenant&) = delete;
  OtherTenant& operator=(const OtherTenant&) = delete;
  std::string ip() const { return world_.config.ip.ToString(); }

 private:
  std::string Place() const { return ip() + "/32 dev lo"; }
  const World world_;  // never started: nobody else has its address
};

// A proxy that was taken over, and those that it would like to pass for or to hear.
class SourceGuard : public testing::Test {
 protected:
  void Start() {
    world_.ReplaceProgram("bailey-netproxy", world_.config.programs + "/hostile_proxy");
    world_.config.publish = {81};
    world_.config.network = json::serialize(json::object{{"mode", "speak"},
                                                         {"resolvers", {resolver_, resolver6_}},
                                                         {"own", own()},
                                                         {"other", other_.ip()},
                                                         {"udp", udp_},
                                                         {"tcp", tcp_},
                                                         {"resolver", resolver_},
                                                         {"resolver6", resolver6_}});
    ASSERT_EQ(world_.Start()["state"], "running");
  }
  std::string own() const { return world_.config.ip.ToString(); }
  std::string Log() const { return *ReadFile(world_.runtime_dir() + "/supervisor.log"); }
  bool Says(const std::string& what) const {
    return Log().find("hostile: " + what) != std::string::npos;
  }
  uint64_t Violations() const {
    return world_.Counter(2, static_cast<size_t>(SupervisorCounter::kSourceViolations));
  }

  World world_;
  const OtherTenant other_;
  std::string udp_, tcp_, resolver_, resolver6_;
  const UniqueFd datagrams_ = Victim(SOCK_DGRAM, kVictim, &udp_),
                 listener_ = Victim(SOCK_STREAM, kVictim, &tcp_),
                 questions_ = Victim(SOCK_DGRAM, kVictim, &resolver_),
                 questions6_ = Victim(SOCK_DGRAM, "::1", &resolver6_);
};

TEST_F(SourceGuard, LetsAProxyThatWasTakenOverSpeakAsItsTenantAlone) {
  Start();
  EXPECT_THAT(Datagrams(datagrams_), UnorderedElementsAre("as the tenant from " + own()));
  // Questions may come from the host, by the address that the kernel chooses for each.
  EXPECT_THAT(Datagrams(questions_),
              UnorderedElementsAre("a question from 127.0.0.1", "a question from 127.0.0.1",
                                   "a mapped question from 127.0.0.1"));
  EXPECT_THAT(Datagrams(questions6_), UnorderedElementsAre("a question from ::1"));
  EXPECT_EQ(Connections(listener_, world_.config.ip), 0u);
  EXPECT_TRUE(Eventually([&] { return Violations() >= 12; })) << Violations();
}

TEST_F(SourceGuard, RefusesBindsAndConnectsThatWouldGiveASocketAnotherAddress) {
  Start();
  const std::string log = Log();
  // EADDRNOTAVAIL, by both families, and of a socket that was a published one's.
  for (const char* attempt :
       {"bind udp", "bind tcp", "bind mapped", "bind everywhere", "bind everywhere v6",
        "bind an accepted one", "two connects", "two mapped connects", "connect tcp"})
    EXPECT_THAT(log, HasSubstr("hostile: " + std::string(attempt) + " errno 99\n"));
  for (const char* attempt : {"connect to the resolver", "connect to the resolver v6"})
    EXPECT_THAT(log, HasSubstr("hostile: " + std::string(attempt) + " errno 0\n"));
  EXPECT_THAT(log, HasSubstr("bailey-netproxy was kept from "));
}

// Neither by a raw socket that was bound to the tenant's address first, nor by the port on every
// address that sending takes.
TEST_F(SourceGuard, LetsAProxyThatWasTakenOverHearWhatIsForItsTenantAlone) {
  Start();
  ASSERT_TRUE(Eventually([&] { return Says("hears at "); }));
  std::string log = Log();
  unsigned hears = 0, done = 0;
  const size_t at = log.find("hostile: hears at ");
  ASSERT_EQ(std::sscanf(log.c_str() + at, "hostile: hears at %u, done at %u", &hears, &done), 2);
  for (const std::string& victim : {own(), other_.ip()}) {
    const UniqueFd socket = BoundTo(SOCK_DGRAM, victim);
    SendTo(socket, {*IpAddress::Parse(kVictim), 9});  // nobody's: an ICMP error comes back
    SendTo(socket, {*IpAddress::Parse(kVictim), static_cast<uint16_t>(hears)});
  }
  EXPECT_TRUE(Eventually([&] {
    SendTo(BoundTo(SOCK_DGRAM, other_.ip()), {world_.config.ip, static_cast<uint16_t>(done)});
    return Says("done\n");
  }));
  log = Log();
  EXPECT_THAT(log, HasSubstr("hostile: widen a raw socket errno 0\n"));
  EXPECT_THAT(log, HasSubstr("hostile: heard a ping's error for " + own() + "\n"));
  EXPECT_THAT(log, Not(HasSubstr("for " + other_.ip())));
  EXPECT_THAT(log, Not(HasSubstr("heard a datagram")));
}

// Of what an honest proxy does, by a published listener and by connections out.
TEST(HonestProxy, IsNotStopped) {
  World world;
  std::string place;
  const UniqueFd listener = Victim(SOCK_STREAM, kVictim, &place);
  world.config.network = json::serialize(json::object{{"tenant", world.config.name},
                                                      {"ip", world.config.ip.ToString()},
                                                      {"egress", {{"allow", {place}}}}});
  world.config.process.start = {"/bin/httpd", "-f", "-p", "80", "-h", "/www"};
  ASSERT_EQ(world.Start()["state"], "running");
  ASSERT_TRUE(Eventually([&] { return world.Fetch().find("a page") != std::string::npos; }));
  const size_t colon = place.find(':');
  const Session client =
      world.Open({{"argv", {"/bin/nc", place.substr(0, colon), place.substr(colon + 1)}}});
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  EXPECT_TRUE(Eventually([&] {
    return bool(UniqueFd(
        ::accept4(listener.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC)));
  }));
  EXPECT_EQ(Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&from)).address, world.config.ip);
  EXPECT_EQ(world.Counter(2, static_cast<size_t>(SupervisorCounter::kSourceViolations)), 0u);
}

}  // namespace
}  // namespace bailey::supervisor
