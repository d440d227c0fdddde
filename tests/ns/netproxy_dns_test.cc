// Names inside: the stub at 127.0.0.53, by UDP and TCP, asks a resolver of the host's.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <thread>

#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

constexpr uint16_t kResolverPort = 5300;

// A question for the A record of "name.test", with an id of its own.
std::string Query(uint16_t id) {
  std::string query;
  query += {static_cast<char>(id >> 8), static_cast<char>(id & 0xff)};
  query += std::string("\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 10);
  query += std::string("\x04name\x04test\x00\x00\x01\x00\x01", 15);
  return query;
}

// The same as an answer: QR and RA set, one A record 192.0.2.80.
std::string AnswerTo(std::string query) {
  query[2] = static_cast<char>(query[2] | 0x80);
  query[3] = static_cast<char>(0x80);
  query[7] = 1;
  query += std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x50", 16);
  return query;
}

std::string Framed(const std::string& message) {
  return std::string{static_cast<char>(message.size() >> 8),
                     static_cast<char>(message.size() & 0xff)} +
         message;
}

// Answers everything that it is asked, until it is destroyed.
class Resolver {
 public:
  explicit Resolver(const World& world) : udp_(world.Outside(SOCK_DGRAM)), tcp_(world.Outside()) {
    EXPECT_EQ(BindAt(udp_, At(kWorldIp, kResolverPort)), 0);
    Listen(tcp_, At(kWorldIp, kResolverPort));
    by_udp_ = std::thread([this] { ServeUdp(); });
    by_tcp_ = std::thread([this] { ServeTcp(); });
  }
  ~Resolver() {
    ::shutdown(udp_.get(), SHUT_RDWR);
    ::shutdown(tcp_.get(), SHUT_RDWR);
    by_udp_.join();
    by_tcp_.join();
  }

 private:
  void ServeUdp() const {
    for (;;) {
      char buffer[1500];
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const ssize_t got = ::recvfrom(udp_.get(), buffer, sizeof buffer, 0,
                                     reinterpret_cast<sockaddr*>(&from), &size);
      if (got <= 0) return;
      const std::string answer = AnswerTo({buffer, static_cast<size_t>(got)});
      ::sendto(udp_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from),
               size);
    }
  }
  void ServeTcp() const {
    for (;;) {
      const UniqueFd client(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      const std::string length = Receive(client, 2);
      if (length.size() != 2) continue;
      Send(client, Framed(AnswerTo(Receive(client, static_cast<uint8_t>(length[1])))));
    }
  }

  UniqueFd udp_, tcp_;
  std::thread by_udp_, by_tcp_;
};

World::Options WithResolver() {
  return {
      .configure = [](ProxyConfig& config) { config.resolvers = {At(kWorldIp, kResolverPort)}; }};
}

Endpoint Stub() { return {DnsStubAddress(), 53}; }

TEST(Dns, ByUdp) {
  InWorld([] {
    World world(WithResolver());
    const Resolver resolver(world);
    const UniqueFd connected = world.Tenant(SOCK_DGRAM), loose = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(ConnectTo(connected, Stub()), 0);
    Send(connected, Query(7));
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(connected, &from), AnswerTo(Query(7)));
    ASSERT_EQ(SendTo(loose, Stub(), Query(8)), 0);
    EXPECT_EQ(ReceiveDatagram(loose, &from), AnswerTo(Query(8)));
    EXPECT_EQ(from, Stub());
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDnsQueries) == 2u; }));
  });
}

TEST(Dns, ByTcp) {
  InWorld([] {
    World world(WithResolver());
    const Resolver resolver(world);
    const UniqueFd client = world.Tenant();
    ASSERT_EQ(ConnectTo(client, Stub()), 0);
    Send(client, Framed(Query(9)));
    const std::string expected = Framed(AnswerTo(Query(9)));
    EXPECT_EQ(Receive(client, expected.size()), expected);
  });
}

// A name server of the tenant's own on the wildcard neither gets the stub's queries nor hinders
// its answers.
TEST(Dns, BesideANameServerOfTheTenants) {
  InWorld([] {
    World world(WithResolver());
    const Resolver resolver(world);
    const UniqueFd own_udp = world.Tenant(SOCK_DGRAM), own_tcp = world.Tenant();
    ASSERT_EQ(BindAt(own_udp, At("0.0.0.0", 53)), 0);
    Listen(own_tcp, At("0.0.0.0", 53));
    const UniqueFd client = world.Tenant(SOCK_DGRAM), visitor = world.Tenant(SOCK_DGRAM);
    Endpoint from;
    ASSERT_EQ(SendTo(client, Stub(), Query(7)), 0);
    EXPECT_EQ(ReceiveDatagram(client, &from), AnswerTo(Query(7)));
    EXPECT_EQ(from, Stub());
    // The tenant's own server is reached at its other addresses, and may ask the stub itself.
    ASSERT_EQ(SendTo(visitor, At("127.0.0.1", 53), "own"), 0);
    EXPECT_EQ(ReceiveDatagram(own_udp, &from), "own");
    ASSERT_EQ(SendTo(own_udp, Stub(), Query(10)), 0);
    EXPECT_EQ(ReceiveDatagram(own_udp, &from), AnswerTo(Query(10)));
  });
}

TEST(Dns, ForTenantsInLoopbackAndWithIpv6) {
  for (const char* ip : {"127.77.0.2", "2001:db8:113::7"})
    InWorld([ip] {
      World::Options options = WithResolver();
      options.tenant_ip = ip;
      World world(options);
      const Resolver resolver(world);
      const UniqueFd client = world.Tenant(SOCK_DGRAM);
      Endpoint from;
      ASSERT_EQ(SendTo(client, Stub(), Query(7)), 0);
      EXPECT_EQ(ReceiveDatagram(client, &from), AnswerTo(Query(7)));
    });
}

TEST(Dns, OnlyPort53OfTheStubsAddressIsTheProxys) {
  InWorld([] {
    World world(WithResolver());
    const UniqueFd own = world.Tenant();
    Listen(own, {Stub().address, 8000});
    EXPECT_EQ(ConnectTo(world.Tenant(), {Stub().address, 8000}), 0);
    EXPECT_EQ(ConnectTo(world.Tenant(), {Stub().address, 8001}), ECONNREFUSED);
  });
}

}  // namespace
}  // namespace bailey::netproxy
