// UDP sockets that the tenant binds are published.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cstdlib>

#include "base/namespaces.h"
#include "netproxy/guest_table.h"
#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

constexpr char kTenantIp6[] = "2001:db8:113::7", kWorldIp6[] = "2001:db8:113::200";

bool ComesUp(World& world, uint16_t port) {
  return World::Await([&] { return world.IsPublished(port, Transport::kUdp); });
}
bool GoesDown(World& world, uint16_t port) {
  return World::Await([&] { return !world.IsPublished(port, Transport::kUdp); });
}
// A socket of the tenant's, bound and published.
UniqueFd Serve(World& world, const Endpoint& place) {
  UniqueFd socket = world.Tenant(SOCK_DGRAM, place.address.family());
  EXPECT_EQ(BindAt(socket, place), 0);
  EXPECT_TRUE(ComesUp(world, place.port));
  return socket;
}
// A client of the world's.
UniqueFd ClientAt(const World& world, const Endpoint& place) {
  UniqueFd socket = world.Outside(SOCK_DGRAM, place.address.family());
  EXPECT_EQ(BindAt(socket, place), 0);
  return socket;
}
// Lets everything that was under way arrive: a port of which nothing is known yet.
void Settle(World& world) {
  static uint16_t probe = 50000;
  Serve(world, At("0.0.0.0", ++probe));
}

struct Family {
  const char *tenant, *world, *wildcard;
};
const Family kFamilies[] = {{kTenantIp, kWorldIp, "0.0.0.0"}, {kTenantIp6, kWorldIp6, "::"}};

TEST(PublishedUdp, ClientsKeepTheirAddressAndTheTenantItsPort) {
  for (const Family& each : kFamilies)
    for (const char* place : {each.wildcard, each.tenant})
      InWorld([&] {
        World world({.tenant_ip = each.tenant});
        const UniqueFd server = Serve(world, At(place, 53));
        const UniqueFd client = ClientAt(world, At(each.world, 4567));
        Endpoint from, back;
        for (int i = 0; i < 3; ++i) {
          ASSERT_EQ(SendTo(client, At(each.tenant, 53), "question"), 0);
          EXPECT_EQ(ReceiveDatagram(server, &from), "question");
          EXPECT_EQ(from, At(each.world, 4567));
          ASSERT_EQ(SendTo(server, from, std::string(9000, 'x')), 0);
          EXPECT_EQ(ReceiveDatagram(client, &back), std::string(9000, 'x'));
          EXPECT_EQ(back, At(each.tenant, 53));
        }
        EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDatagramsOut) == 3u; }));
        EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDatagramsIn) == 3u; }));
      });
}

TEST(PublishedUdp, SocketsComeAndGo) {
  InWorld([] {
    World world;
    UniqueFd first = world.Tenant(SOCK_DGRAM), second = world.Tenant(SOCK_DGRAM);
    const int on = 1;
    for (const UniqueFd* socket : {&first, &second}) {
      ::setsockopt(socket->get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
      ASSERT_EQ(BindAt(*socket, At("0.0.0.0", 53)), 0);
    }
    ASSERT_TRUE(ComesUp(world, 53));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kPublishedPorts) == 1u; }));
    first.Reset();
    Settle(world);
    EXPECT_TRUE(world.IsPublished(53, Transport::kUdp));
    second.Reset();
    EXPECT_TRUE(GoesDown(world, 53));
    // Refused from then on.
    const UniqueFd client = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(ConnectTo(client, At(kTenantIp, 53)), 0);
    EXPECT_TRUE(World::Await([&] {
      Send(client, "x");
      return ReceiveErrno(client) == ECONNREFUSED;
    }));
  });
}

TEST(PublishedUdp, NotWhatIsBoundToLoopbackOrNotAtAll) {
  InWorld([] {
    World world;
    const UniqueFd loopback = world.Tenant(SOCK_DGRAM);
    const UniqueFd loopback6 = world.Tenant(SOCK_DGRAM, AF_INET6);
    const UniqueFd connected = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(BindAt(loopback, At("127.0.0.1", 53)), 0);
    ASSERT_EQ(BindAt(loopback6, At("::1", 54)), 0);
    ASSERT_EQ(ConnectTo(connected, At(kWorldIp, 8000)), 0);
    Settle(world);
    EXPECT_FALSE(world.IsPublished(53, Transport::kUdp));
    EXPECT_FALSE(world.IsPublished(54, Transport::kUdp));
    EXPECT_FALSE(world.IsPublished(LocalEnd(connected).port, Transport::kUdp));
  });
}

// Those who bind for one question, to a port of their own choice or the kernel's, are not asked
// for.
TEST(PublishedUdp, NotWhatIsGoneAtOnce) {
  InWorld([] {
    World world;
    std::vector<UniqueFd> sockets;
    sockets.reserve(50);
    for (int i = 0; i < 50; ++i) sockets.push_back(world.Tenant(SOCK_DGRAM));
    for (UniqueFd& socket : sockets) {
      ASSERT_EQ(BindAt(socket, At("0.0.0.0", 0)), 0);
      ::usleep(5000);
      socket.Reset();
    }
    Settle(world);
    EXPECT_LT(world.listeners_asked(), 25);  // a busy machine may keep one alive for long
  });
}

TEST(PublishedUdp, OnlyThePortsOfTheSpec) {
  InWorld([] {
    World world({.configure = [](ProxyConfig& config) {
      config.publish = {53, PublishRule(Transport::kUdp, 50000, 50099)};
    }});
    const UniqueFd socket = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(BindAt(socket, At("0.0.0.0", 53)), 0);
    Settle(world);
    EXPECT_FALSE(world.IsPublished(53, Transport::kUdp));  // TCP's 53 is another port
    ProxyConfig wider = world.config();
    wider.publish->emplace_back(Transport::kUdp, 53, 53);
    world.SendConfig(wider);
    EXPECT_TRUE(ComesUp(world, 53));
    world.SendConfig(world.config());
    EXPECT_TRUE(GoesDown(world, 53));
  });
}

// Who has asked is answered, whatever the policy says of turning to him.
TEST(PublishedUdp, AGuestIsAnsweredAgainstThePolicy) {
  for (const Family& each : kFamilies)
    InWorld([&] {
      World world({.tenant_ip = each.tenant, .configure = [](ProxyConfig& config) {
                     config.egress.allow_by_default = false;
                   }});
      const int family = At(each.tenant, 53).address.family();
      const UniqueFd server = Serve(world, At(each.wildcard, 53));
      const UniqueFd client = ClientAt(world, At(each.world, 4567));
      const UniqueFd other = ClientAt(world, At(each.world, 4568));
      EXPECT_EQ(SendTo(server, At(each.world, 4567), "unasked"), EACCES);
      ASSERT_EQ(SendTo(client, At(each.tenant, 53), "question"), 0);
      Endpoint from, back;
      EXPECT_EQ(ReceiveDatagram(server, &from), "question");
      ASSERT_EQ(SendTo(server, from, "answer"), 0);
      EXPECT_EQ(ReceiveDatagram(client, &back), "answer");
      // That address alone, and from that port alone.
      EXPECT_EQ(SendTo(server, At(each.world, 4568), "unasked"), EACCES);
      EXPECT_EQ(SendTo(world.Tenant(SOCK_DGRAM, family), At(each.world, 4567), "unasked"), EACCES);
      // A connected socket of the same port may as well.
      EXPECT_EQ(ConnectTo(server, At(each.world, 4568)), EACCES);
      EXPECT_EQ(ConnectTo(server, At(each.world, 4567)), 0);
    });
}

// An address of the world's, as far as the host can tell: whoever forges one looks the same.
UniqueFd OutsideAt(const World& world, const Endpoint& place) {
  auto scope = NetnsScope::Enter(world.world_netns());
  EXPECT_TRUE(scope);
  const std::string address = place.address.ToString();
  EXPECT_EQ(std::system(("ip addr add " + address + "/32 dev lo").c_str()), 0);
  return ClientAt(world, place);
}

TEST(PublishedUdp, ADatagramThatMayBeForgedOpensNoWall) {
  InWorld([] {
    World world;
    ASSERT_EQ(std::system("ip route add 10.0.0.0/8 via 203.0.113.200"), 0);
    const UniqueFd server = Serve(world, At("0.0.0.0", 5000));
    const UniqueFd accomplice = OutsideAt(world, At("10.0.0.1", 53));
    ASSERT_EQ(SendTo(accomplice, At(kTenantIp, 5000), "open"), 0);
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(server, &from), "open");
    EXPECT_EQ(SendTo(server, At("10.0.0.1", 53), "x"), EACCES);
    EXPECT_EQ(world.Count(NetCounter::kDatagramsOut), 0u);
  });
}

TEST(PublishedUdp, AGuestWhomThePolicyDeniesIsAnsweredAsMuchAsHeAsks) {
  InWorld([] {
    World world({.configure = [](ProxyConfig& config) { config.egress.allow_by_default = false; }});
    const UniqueFd server = Serve(world, At("0.0.0.0", 5000));
    const UniqueFd client = ClientAt(world, At(kWorldIp, 4567));
    Endpoint from;
    for (uint64_t asked = 1; asked <= 2; ++asked) {
      ASSERT_EQ(SendTo(client, At(kTenantIp, 5000), "question"), 0);
      EXPECT_EQ(ReceiveDatagram(server, &from), "question");
      for (int i = 0; i < 50; ++i) ASSERT_EQ(SendTo(server, from, "answer"), 0);
      ASSERT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedRule) > 0; }));
      EXPECT_TRUE(World::Await([&] {
        return world.Count(NetCounter::kDatagramsOut) == asked * GuestTable::kAnswersForOne;
      }));
    }
  });
}

TEST(PublishedUdp, AnotherTenantThatAsksIsAnsweredAndNobodyElseAtItsAddress) {
  InWorld([] {
    World world;
    const UniqueFd server = Serve(world, At("0.0.0.0", 53));
    const UniqueFd peer = world.Host(SOCK_DGRAM), host = world.Host(SOCK_DGRAM);
    ASSERT_EQ(BindAt(peer, At(kPeerIp, 4567)), 0);
    ASSERT_EQ(::fchown(peer.get(), kProxyUid + 65536, 0), 0);
    ASSERT_EQ(BindAt(host, At(kPeerIp, 4568)), 0);
    Endpoint from, back;
    for (const UniqueFd* each : {&peer, &host}) {
      ASSERT_EQ(ConnectTo(*each, At(kTenantIp, 53)), 0);  // as the flow of another proxy is
      Send(*each, "question");
      EXPECT_EQ(ReceiveDatagram(server, &from), "question");
      ASSERT_EQ(SendTo(server, from, "answer"), 0);
      if (each == &peer) {
        EXPECT_EQ(ReceiveDatagram(*each, &back), "answer");
      }
    }
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedTenant) == 1u; }));
    EXPECT_EQ(world.Count(NetCounter::kDatagramsOut), 1u);
  });
}

TEST(PublishedUdp, NobodyPassesForAProgramOfTheHosts) {
  InWorld([] {
    World world;
    ASSERT_EQ(std::system("ip route add 192.0.0.8/32 via 203.0.113.200"), 0);
    const UniqueFd server = Serve(world, At("0.0.0.0", 53));
    const UniqueFd host = world.Host(SOCK_DGRAM);
    ASSERT_EQ(BindAt(host, At(kTenantIp, 4567)), 0);
    const UniqueFd stranger = OutsideAt(world, At("192.0.0.8", 4567));
    Endpoint from, back;
    ASSERT_EQ(SendTo(host, At(kTenantIp, 53), "question"), 0);
    EXPECT_EQ(ReceiveDatagram(server, &from), "question");
    ASSERT_EQ(SendTo(stranger, At(kTenantIp, 53), "forged"), 0);
    ASSERT_EQ(SendTo(host, At(kTenantIp, 53), "more"), 0);
    EXPECT_EQ(ReceiveDatagram(server, &from), "more");
    ASSERT_EQ(SendTo(server, At("192.0.0.8", 4567), "answer"), 0);
    EXPECT_EQ(ReceiveDatagram(host, &back), "answer");
  });
}

TEST(PublishedUdp, ADualStackSocketMayConnectToItsIpv4Guest) {
  InWorld([] {
    World world({.configure = [](ProxyConfig& config) { config.egress.allow_by_default = false; }});
    const UniqueFd server = Serve(world, At("::", 53));
    const UniqueFd client = ClientAt(world, At(kWorldIp, 4567));
    ASSERT_EQ(SendTo(client, At(kTenantIp, 53), "question"), 0);
    Endpoint from, back;
    EXPECT_EQ(ReceiveDatagram(server, &from), "question");
    EXPECT_EQ(ConnectTo(server, At("::ffff:198.51.100.9", 4568)), EACCES);
    ASSERT_EQ(ConnectTo(server, from), 0);
    Send(server, "answer");
    EXPECT_EQ(ReceiveDatagram(client, &back), "answer");
  });
}

// What one guest's host says of him does not cost another his datagrams.
TEST(PublishedUdp, AClosedClientCostsTheOthersNothing) {
  InWorld([] {
    World world;
    const UniqueFd server = Serve(world, At("0.0.0.0", 53));
    const UniqueFd client = world.Outside(SOCK_DGRAM);
    UniqueFd closed = world.Outside(SOCK_DGRAM);
    Endpoint there, gone, back;
    ASSERT_EQ(SendTo(client, At(kTenantIp, 53), "question"), 0);
    EXPECT_EQ(ReceiveDatagram(server, &there), "question");
    ASSERT_EQ(SendTo(closed, At(kTenantIp, 53), "question"), 0);
    EXPECT_EQ(ReceiveDatagram(server, &gone), "question");
    closed.Reset();
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(SendTo(server, gone, "x"), 0);
      ASSERT_EQ(SendTo(server, there, std::to_string(i)), 0);
    }
    for (int i = 0; i < 100; ++i) EXPECT_EQ(ReceiveDatagram(client, &back), std::to_string(i));
  });
}

TEST(PublishedUdp, WhatAPublishedPortSendsFirstLeavesByItAsFarAsThePolicyAllows) {
  InWorld([] {
    World world;
    const UniqueFd socket = Serve(world, At("0.0.0.0", 5000));
    Settle(world);
    const UniqueFd peer = ClientAt(world, At(kWorldIp, 8000));
    ASSERT_EQ(SendTo(socket, At(kWorldIp, 8000), "hello"), 0);
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(peer, &from), "hello");
    EXPECT_EQ(from, At(kTenantIp, 5000));
    EXPECT_EQ(SendTo(socket, At("10.0.0.1", 8000), "x"), EACCES);
    EXPECT_EQ(SendTo(socket, At(kHostIp, 8000), "x"), EACCES);
    // A peer is for the proxy to judge.
    const UniqueFd neighbour = world.Host(SOCK_DGRAM);
    ASSERT_EQ(BindAt(neighbour, At(kPeerIp, 8000)), 0);
    ASSERT_EQ(SendTo(socket, At(kPeerIp, 8000), "x"), 0);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedTenant) == 1u; }));
  });
}

TEST(PublishedUdp, AnotherTenantIsReachedWhereItPublishes) {
  InWorld([] {
    const World world;
    const UniqueFd peer = world.Host(SOCK_DGRAM);
    ASSERT_EQ(BindAt(peer, At(kPeerIp, 53)), 0);
    ASSERT_EQ(::fchown(peer.get(), kProxyUid + 65536, 0), 0);
    const UniqueFd client = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(SendTo(client, At(kPeerIp, 53), "question"), 0);
    Endpoint from, back;
    EXPECT_EQ(ReceiveDatagram(peer, &from), "question");
    EXPECT_EQ(from.address.ToString(), kTenantIp);
    ASSERT_EQ(SendTo(peer, from, "answer"), 0);
    EXPECT_EQ(ReceiveDatagram(client, &back), "answer");
  });
}

TEST(PublishedUdp, AClosedClientIsReportedToTheServer) {
  for (const Family& each : kFamilies)
    InWorld([&] {
      World world({.tenant_ip = each.tenant});
      const UniqueFd server = Serve(world, At(each.wildcard, 53));
      UniqueFd client = ClientAt(world, At(each.world, 4567));
      ASSERT_EQ(SendTo(client, At(each.tenant, 53), "question"), 0);
      Endpoint from;
      EXPECT_EQ(ReceiveDatagram(server, &from), "question");
      client.Reset();
      ASSERT_EQ(ConnectTo(server, from), 0);
      Send(server, "too late");
      EXPECT_EQ(ReceiveErrno(server), ECONNREFUSED);
    });
}

// A program of the host's has the tenant's own address for its source: it must not pass for one of
// the tenant's, and gets its answer all the same.
TEST(PublishedUdp, TheHostItselfIsServed) {
  for (const Family& each : kFamilies)
    InWorld([&] {
      World world({.tenant_ip = each.tenant});
      const int family = At(each.tenant, 53).address.family();
      const UniqueFd server = Serve(world, At(each.wildcard, 53));
      const UniqueFd one = world.Host(SOCK_DGRAM, family), two = world.Host(SOCK_DGRAM, family);
      ASSERT_EQ(BindAt(one, At(each.tenant, 4567)), 0);
      const char* const another = family == AF_INET ? "127.0.0.1" : "2001:db8:113::7";
      ASSERT_EQ(BindAt(two, At(another, family == AF_INET ? 4567 : 0)), 0);
      Endpoint from, back;
      for (const UniqueFd* client : {&one, &two}) {
        ASSERT_EQ(SendTo(*client, At(each.tenant, 53), "question"), 0);
        EXPECT_EQ(ReceiveDatagram(server, &from), "question");
        EXPECT_EQ(from.address.ToString(), family == AF_INET ? "192.0.0.8" : "100::8");
        ASSERT_EQ(SendTo(server, from, "answer"), 0);
        EXPECT_EQ(ReceiveDatagram(*client, &back), "answer");
        EXPECT_EQ(back, At(each.tenant, 53));
      }
    });
}

TEST(PublishedUdp, ARestartForgetsTheGuests) {
  InWorld([] {
    World world({.configure = [](ProxyConfig& config) { config.egress.allow_by_default = false; }});
    const UniqueFd server = Serve(world, At("0.0.0.0", 53));
    const UniqueFd client = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(SendTo(client, At(kTenantIp, 53), "question"), 0);
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(server, &from), "question");
    EXPECT_EQ(SendTo(server, from, "answer"), 0);
    world.KillProxy();
    world.StartProxy();
    EXPECT_EQ(SendTo(server, from, "answer"), EACCES);
  });
}

TEST(PublishedUdp, AProxyThatDrainsLeavesTheGuestsToItsSuccessor) {
  InWorld([] {
    World world({.configure = [](ProxyConfig& config) { config.egress.allow_by_default = false; }});
    const UniqueFd server = Serve(world, At("0.0.0.0", 53));
    const UniqueFd client = world.Outside(SOCK_DGRAM);
    Endpoint from, back;
    for (const bool replaced : {false, true}) {
      if (replaced) world.ReplaceProxy();
      ASSERT_EQ(SendTo(client, At(kTenantIp, 53), "question"), 0);
      EXPECT_EQ(ReceiveDatagram(server, &from), "question");
    }
    ASSERT_TRUE(world.ReplacedProxiesEnd());
    ASSERT_EQ(SendTo(server, from, "answer"), 0);
    EXPECT_EQ(ReceiveDatagram(client, &back), "answer");
  });
}

TEST(PublishedUdp, ARestartKeepsThePorts) {
  InWorld([] {
    World world;
    const UniqueFd server = Serve(world, At("0.0.0.0", 53));
    UniqueFd gone = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(BindAt(gone, At("0.0.0.0", 54)), 0);
    ASSERT_TRUE(ComesUp(world, 54));
    world.KillProxy();
    gone.Reset();
    const UniqueFd late = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(BindAt(late, At("0.0.0.0", 55)), 0);
    const UniqueFd client = world.Outside(SOCK_DGRAM), connected = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(ConnectTo(connected, At(kWorldIp, 8000)), 0);
    ASSERT_EQ(SendTo(client, At(kTenantIp, 53), "meanwhile"), 0);
    world.StartProxy();
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(server, &from), "meanwhile");
    EXPECT_TRUE(ComesUp(world, 55));
    EXPECT_TRUE(GoesDown(world, 54));
    EXPECT_FALSE(world.IsPublished(LocalEnd(connected).port, Transport::kUdp));
  });
}

}  // namespace
}  // namespace bailey::netproxy
