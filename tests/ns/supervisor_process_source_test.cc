// The wall behind the proxy: one that was taken over, played by hostile_proxy, tries to speak from
// another address than its tenant's. Nothing of it arrives, and all of it is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <set>

#include "base/counters.h"
#include "base/files.h"
#include "tests/ns/supervisor_process_world.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

// A socket at a free port of an address that no tenant of the tests has.
UniqueFd Victim(int type, std::string* place) {
  UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_storage address{};
  socklen_t size = Endpoint{*IpAddress::Parse("127.77.255.1"), 0}.ToSockaddr(&address);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(socket.get(), 16), 0);
  }
  size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  *place = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address)).ToString();
  return socket;
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

TEST(SourceGuard, LetsAProxyThatWasTakenOverSpeakAsItsTenantAlone) {
  World world;
  std::string udp, tcp, resolver;
  const UniqueFd datagrams = Victim(SOCK_DGRAM, &udp), listener = Victim(SOCK_STREAM, &tcp),
                 questions = Victim(SOCK_DGRAM, &resolver);
  world.ReplaceProgram("bailey-netproxy", world.config.programs + "/hostile_proxy");
  const std::string own = world.config.ip.ToString();
  world.config.publish = {81};
  world.config.network = json::serialize(json::object{{"mode", "speak"},
                                                      {"resolvers", json::array{resolver}},
                                                      {"own", own},
                                                      {"other", "127.77.255.2"},
                                                      {"udp", udp},
                                                      {"tcp", tcp},
                                                      {"resolver", resolver}});
  ASSERT_EQ(world.Start()["state"], "running");
  const std::string log_path = world.runtime_dir() + "/supervisor.log";
  ASSERT_TRUE(
      Eventually([&] { return ReadFile(log_path)->find("hostile: done\n") != std::string::npos; }));
  const std::string log = *ReadFile(log_path);
  EXPECT_THAT(Datagrams(datagrams), UnorderedElementsAre("as the tenant from " + own));
  // Questions may come from the host, by the address that the kernel chooses.
  EXPECT_THAT(Datagrams(questions), UnorderedElementsAre("a question from 127.0.0.1"));
  EXPECT_EQ(Connections(listener, world.config.ip), 0u);
  // EADDRNOTAVAIL, of binds, by both families, and of a socket that was a published one's.
  EXPECT_THAT(log, HasSubstr("hostile: bind udp errno 99\n"));
  EXPECT_THAT(log, HasSubstr("hostile: bind tcp errno 99\n"));
  EXPECT_THAT(log, HasSubstr("hostile: bind mapped errno 99\n"));
  EXPECT_THAT(log, HasSubstr("hostile: bind an accepted one errno 99\n"));
  EXPECT_THAT(log, HasSubstr("bailey-netproxy was kept from "));
  EXPECT_TRUE(Eventually([&] {
    return world.Counter(2, static_cast<size_t>(SupervisorCounter::kSourceViolations)) >= 8;
  })) << world.Counter(2, static_cast<size_t>(SupervisorCounter::kSourceViolations));
}

TEST(SourceGuard, StopsNothingOfAnHonestProxy) {
  World world;
  ASSERT_EQ(world.Start()["state"], "running");
  EXPECT_EQ(world.Counter(2, static_cast<size_t>(SupervisorCounter::kSourceViolations)), 0u);
}

}  // namespace
}  // namespace bailey::supervisor
