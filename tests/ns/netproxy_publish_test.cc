// What the tenant listens on is published, and withdrawn.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <thread>

#include "netproxy/publisher.h"
#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

bool Serves(const World& world, const std::string& address, uint16_t port) {
  const Endpoint to = At(address, port);
  return ConnectTo(world.Outside(SOCK_STREAM, to.address.family()), to) == 0;
}
bool ComesUp(const World& world, uint16_t port, const std::string& address = kTenantIp) {
  return World::Await([&] { return Serves(world, address, port); });
}
bool GoesDown(const World& world, uint16_t port) {
  return World::Await([&] { return !Serves(world, kTenantIp, port); });
}
// Lets everything that was under way arrive: a port of which nothing is known yet.
void Settle(World& world) {
  static uint16_t probe = 50000;
  const UniqueFd listener = world.Tenant();
  Listen(listener, At("0.0.0.0", ++probe));
  ASSERT_TRUE(World::Await([&] { return world.IsPublished(probe); }));
}

TEST(Publish, ListenersComeAndGo) {
  InWorld([] {
    World world;
    EXPECT_FALSE(Serves(world, kTenantIp, 80));
    UniqueFd listener = world.Tenant();
    Listen(listener, At("0.0.0.0", 80));
    EXPECT_TRUE(ComesUp(world, 80));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kPublishedPorts) == 1; }));
    listener.Reset();
    EXPECT_TRUE(GoesDown(world, 80));
    EXPECT_TRUE(World::Await([&] { return !world.IsPublished(80); }));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kPublishedPorts) == 0u; }));
    UniqueFd again = world.Tenant();
    Listen(again, At(kTenantIp, 80));
    EXPECT_TRUE(ComesUp(world, 80));
  });
}

TEST(Publish, ConnectionsOutliveTheListener) {
  InWorld([] {
    World world;
    UniqueFd listener = world.Tenant();
    Listen(listener, At("0.0.0.0", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    const UniqueFd client = world.Outside();
    ASSERT_EQ(ConnectTo(client, At(kTenantIp, 80)), 0);
    const UniqueFd accepted = Accept(listener);
    listener.Reset();
    EXPECT_TRUE(GoesDown(world, 80));
    Send(client, "x");
    EXPECT_EQ(Receive(accepted, 1), "x");
  });
}

TEST(Publish, TheLastOfSeveralListenersWithdraws) {
  InWorld([] {
    World world;
    UniqueFd first = world.Tenant(), second = world.Tenant();
    const int on = 1;
    for (UniqueFd* listener : {&first, &second}) {
      ::setsockopt(listener->get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
      Listen(*listener, At("0.0.0.0", 80));
    }
    ASSERT_TRUE(ComesUp(world, 80));
    first.Reset();
    Settle(world);
    EXPECT_TRUE(Serves(world, kTenantIp, 80));
    second.Reset();
    EXPECT_TRUE(GoesDown(world, 80));
  });
}

TEST(Publish, NotWhatListensOnLoopback) {
  InWorld([] {
    World world;
    const UniqueFd listener = world.Tenant(), listener6 = world.Tenant(SOCK_STREAM, AF_INET6);
    Listen(listener, At("127.0.0.1", 80));
    Listen(listener6, At("::1", 81));
    Settle(world);
    EXPECT_FALSE(world.IsPublished(80));
    EXPECT_FALSE(world.IsPublished(81));
  });
}

TEST(Publish, ADualStackWildcardServesIpv4) {
  InWorld([] {
    World world;
    const UniqueFd dual = world.Tenant(SOCK_STREAM, AF_INET6);
    const UniqueFd only = world.Tenant(SOCK_STREAM, AF_INET6);
    const int on = 1;
    ::setsockopt(only.get(), SOL_IPV6, IPV6_V6ONLY, &on, sizeof on);
    Listen(dual, At("::", 80));
    Listen(only, At("::", 81));
    EXPECT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    const UniqueFd client = world.Outside();
    ASSERT_EQ(ConnectTo(client, At(kTenantIp, 80)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(dual, &from);
    EXPECT_EQ(from.address.ToString(), "::ffff:203.0.113.200");
    Settle(world);
    EXPECT_FALSE(world.IsPublished(81));
  });
}

TEST(Publish, AnIpv6TenantIsServedOverIpv6) {
  InWorld([] {
    World world({.tenant_ip = "2001:db8:113::7"});
    const UniqueFd listener = world.Tenant(SOCK_STREAM, AF_INET6);
    Listen(listener, At("::", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    const UniqueFd client = world.Outside(SOCK_STREAM, AF_INET6);
    ASSERT_EQ(BindAt(client, At("2001:db8:113::200", 45678)), 0);
    ASSERT_EQ(ConnectTo(client, At("2001:db8:113::7", 80)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(listener, &from);
    EXPECT_EQ(from, At("2001:db8:113::200", 45678));
    Send(client, "x");
    EXPECT_EQ(Receive(accepted, 1), "x");
    // And out.
    const UniqueFd server = world.Outside(SOCK_STREAM, AF_INET6);
    Listen(server, At("2001:db8:113::200", 8000));
    const UniqueFd out = world.Tenant(SOCK_STREAM, AF_INET6);
    ASSERT_EQ(ConnectTo(out, At("2001:db8:113::200", 8000)), 0);
    const UniqueFd outside = Accept(server, &from);
    EXPECT_EQ(from.address.ToString(), "2001:db8:113::7");
  });
}

TEST(Publish, OnlyThePortsOfTheSpec) {
  InWorld([] {
    World world({.configure = [](ProxyConfig& config) {
      config.publish = std::vector<PublishRule>{80, PublishRule(Transport::kTcp, 50000, 50099)};
    }});
    const UniqueFd listed = world.Tenant(), other = world.Tenant();
    Listen(listed, At("0.0.0.0", 80));
    Listen(other, At("0.0.0.0", 81));
    EXPECT_TRUE(ComesUp(world, 80));
    Settle(world);
    EXPECT_FALSE(world.IsPublished(81));
    ProxyConfig wider = world.config();
    wider.publish->push_back(81);
    world.SendConfig(wider);
    EXPECT_TRUE(ComesUp(world, 81));
  });
}

TEST(Publish, APortThatTheHostUsesIsTriedAgain) {
  InWorld([] {
    World world;
    UniqueFd taken = world.Host();
    Listen(taken, At(kTenantIp, 80));
    const UniqueFd listener = world.Tenant();
    Listen(listener, At("0.0.0.0", 80));
    Settle(world);
    EXPECT_FALSE(world.IsPublished(80));
    taken.Reset();
    EXPECT_TRUE(World::Await([&] { return world.IsPublished(80); }));
  });
}

// Whoever binds and closes in a loop what the host will not give must not have us ask in a loop.
TEST(Publish, ARefusalOutlivesTheSocket) {
  InWorld([] {
    World world;
    const UniqueFd taken = world.Host(SOCK_DGRAM);
    ASSERT_EQ(BindAt(taken, At(kTenantIp, 53)), 0);
    for (int i = 0; i < 40; ++i) {
      const UniqueFd socket = world.Tenant(SOCK_DGRAM);
      ASSERT_EQ(BindAt(socket, At("0.0.0.0", 53)), 0);
      std::this_thread::sleep_for(2 * Publisher::kGrownUp);
    }
    EXPECT_GE(world.listeners_asked(), 1);
    EXPECT_LE(world.listeners_asked(), 10);
  });
}

TEST(Publish, ManyPortsAtOnce) {
  InWorld([] {
    World world;
    std::vector<UniqueFd> listeners;
    for (uint16_t port = 10000; port < 10400; ++port) {
      listeners.push_back(world.Tenant());
      Listen(listeners.back(), At("0.0.0.0", port));
    }
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kPublishedPorts) == 400; }));
    listeners.clear();
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kPublishedPorts) == 0; }));
  });
}

}  // namespace
}  // namespace bailey::netproxy
