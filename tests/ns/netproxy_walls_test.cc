// What a tenant is refused, by which errno, and that each refusal is counted.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "netproxy/bpf_programs.h"
#include "netproxy/gatekeeper.h"
#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

int FamilyOf(const Endpoint& endpoint) { return endpoint.address.family(); }

struct Row {
  const char* address;
  uint16_t port;
  NetCounter counter;
};

// Each row by TCP connect, UDP connect and UDP sendto: EACCES, at once.
void ExpectRefused(const World& world, const Row& row) {
  const Endpoint to = At(row.address, row.port);
  const uint64_t before = world.Count(row.counter);
  EXPECT_EQ(ConnectTo(world.Tenant(SOCK_STREAM, FamilyOf(to)), to), EACCES) << to.ToString();
  EXPECT_EQ(ConnectTo(world.Tenant(SOCK_STREAM | SOCK_NONBLOCK, FamilyOf(to)), to), EACCES)
      << to.ToString();
  EXPECT_EQ(ConnectTo(world.Tenant(SOCK_DGRAM, FamilyOf(to)), to), EACCES) << to.ToString();
  EXPECT_EQ(SendTo(world.Tenant(SOCK_DGRAM, FamilyOf(to)), to, "x"), EACCES) << to.ToString();
  EXPECT_TRUE(World::Await([&] { return world.Count(row.counter) == before + 4; }))
      << to.ToString() << ": " << world.Count(row.counter) - before;
}

constexpr Row kRefused4[] = {
    {kHostIp, 80, NetCounter::kDeniedHost},
    {"169.254.169.254", 80, NetCounter::kDeniedLinkLocal},
    {"10.0.0.1", 80, NetCounter::kDeniedPrivate},
    {"172.16.0.1", 80, NetCounter::kDeniedPrivate},
    {"192.168.1.1", 80, NetCounter::kDeniedPrivate},
    {"100.64.0.1", 80, NetCounter::kDeniedPrivate},
    {"224.0.0.1", 80, NetCounter::kDeniedMulticast},
    {kWorldIp, 25, NetCounter::kDeniedPort},
    {"::ffff:169.254.169.254", 80, NetCounter::kDeniedLinkLocal},
    {"::ffff:10.0.0.1", 80, NetCounter::kDeniedPrivate},
    {"::ffff:203.0.113.1", 80, NetCounter::kDeniedHost},
    {"::ffff:198.51.100.9", 25, NetCounter::kDeniedPort},
    {"fe80::1", 80, NetCounter::kDeniedLinkLocal},
    {"fd00::1", 80, NetCounter::kDeniedPrivate},
    {"ff02::1", 80, NetCounter::kDeniedMulticast},
    {"2002:a00:1::1", 80, NetCounter::kDeniedPrivate},         // 6to4 of 10.0.0.1
    {"64:ff9b::a00:1", 80, NetCounter::kDeniedPrivate},        // NAT64 of 10.0.0.1
    {"64:ff9b::a9fe:a9fe", 80, NetCounter::kDeniedLinkLocal},  // NAT64 of 169.254.169.254
    {"2002:cb00:7101::1", 80, NetCounter::kDeniedHost},        // 6to4 of the host
};

TEST(Walls, SpecialDestinationsAreRefusedAtOnceAndCounted) {
  InWorld([] {
    const World world;
    for (const Row& row : kRefused4) ExpectRefused(world, row);
  });
}

TEST(Walls, ATenantWithAnIpv6AddressHasTheSame) {
  InWorld([] {
    const World world({.tenant_ip = "2001:db8:113::7"});
    for (const Row& row : kRefused4)
      if (At(row.address, 0).address.is_v6()) ExpectRefused(world, row);
  });
}

TEST(Walls, AnAddressThatTheHostGetsLaterIsRefusedToo) {
  InWorld([] {
    const World world;
    ASSERT_EQ(std::system("ip addr add 198.51.100.77/32 dev outside"), 0);
    EXPECT_TRUE(World::Await([&] {
      return ConnectTo(world.Tenant(SOCK_STREAM | SOCK_NONBLOCK), At("198.51.100.77", 80)) ==
             EACCES;
    }));
  });
}

TEST(Walls, RulesOfTheTenantsSpecHold) {
  InWorld([] {
    World world({.configure = [](ProxyConfig& config) {
      config.egress.deny.push_back(*EgressRule::Parse("198.51.100.9:8001"));
      config.egress.allow.push_back(*EgressRule::Parse("203.0.113.1:5432"));
    }});
    const UniqueFd open = world.Outside(), service = world.Host();
    Listen(open, At(kWorldIp, 8000));
    Listen(service, At(kHostIp, 5432));
    EXPECT_EQ(ConnectTo(world.Tenant(), At(kWorldIp, 8000)), 0);
    ExpectRefused(world, {kWorldIp, 8001, NetCounter::kDeniedRule});
    const UniqueFd client = world.Tenant();
    EXPECT_EQ(ConnectTo(client, At(kHostIp, 5432)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(service, &from);
    EXPECT_EQ(from.address.ToString(), kTenantIp);
  });
}

TEST(Walls, APolicyChangesLive) {
  InWorld([] {
    World world;
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    const UniqueFd before = world.Tenant();
    ASSERT_EQ(ConnectTo(before, At(kWorldIp, 8000)), 0);
    const UniqueFd accepted = Accept(server);
    ProxyConfig stricter = world.config();
    stricter.egress.allow_by_default = false;
    world.SendConfig(stricter);
    EXPECT_TRUE(
        World::Await([&] { return ConnectTo(world.Tenant(), At(kWorldIp, 8000)) == EACCES; }));
    Send(before, "goes on");
    EXPECT_EQ(Receive(accepted, 7), "goes on");
    world.SendConfig(world.config());
    EXPECT_TRUE(World::Await([&] { return ConnectTo(world.Tenant(), At(kWorldIp, 8000)) == 0; }));
  });
}

// The second wall: what the kernel's copy lets through, the proxy still refuses. Peers are such a
// case, since only the proxy knows what is published.
TEST(Walls, AnotherTenantIsReachedOnlyByWhatItPublishes) {
  InWorld([] {
    World world;
    const auto connects = [&](uint16_t port) {
      const UniqueFd client = world.Tenant();
      const int error = ConnectTo(client, At(kPeerIp, port));
      EXPECT_TRUE(error == 0 || error == EHOSTUNREACH) << error;
      return error == 0;
    };
    const UniqueFd wildcard = world.Host(), exact = world.Host(), owned = world.Host();
    Listen(wildcard, At("0.0.0.0", 9001));
    EXPECT_FALSE(connects(9001)) << "the host's own service on the wildcard";
    Listen(exact, At(kPeerIp, 9002));
    EXPECT_FALSE(connects(9002)) << "a service of the host's at the peer's address";
    EXPECT_FALSE(connects(9003)) << "nothing listens";
    const UniqueFd careless = world.Host();
    ASSERT_EQ(::fchown(careless.get(), kProxyUid + 65536, 0), 0);
    Listen(careless, At("0.0.0.0", 9005));
    EXPECT_FALSE(connects(9005)) << "a tenant's, but not at exactly this address";
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedTenant) == 4u; }));
    ASSERT_EQ(::fchown(owned.get(), kProxyUid + 65536, 0), 0);
    Listen(owned, At(kPeerIp, 9004));
    const UniqueFd client = world.Tenant();
    ASSERT_EQ(ConnectTo(client, At(kPeerIp, 9004)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(owned, &from);
    EXPECT_EQ(from.address.ToString(), kTenantIp);
    EXPECT_EQ(world.Count(NetCounter::kDeniedTenant), 4u);
  });
}

TEST(Walls, OnlyItsOwnAddressCanBeBound) {
  InWorld([] {
    const World world;
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      EXPECT_EQ(BindAt(world.Tenant(type), At("0.0.0.0", 0)), 0);
      EXPECT_EQ(BindAt(world.Tenant(type), At(kTenantIp, 0)), 0);
      EXPECT_EQ(BindAt(world.Tenant(type), At("127.0.0.1", 0)), 0);
      EXPECT_EQ(BindAt(world.Tenant(type, AF_INET6), At("::", 0)), 0);
      EXPECT_EQ(BindAt(world.Tenant(type, AF_INET6), At("::1", 0)), 0);
      EXPECT_EQ(BindAt(world.Tenant(type, AF_INET6), At("::ffff:203.0.113.7", 0)), 0);
      for (const char* foreign : {"8.8.8.8", kHostIp, kPeerIp, kWorldIp, "192.0.0.8"})
        EXPECT_EQ(BindAt(world.Tenant(type), At(foreign, 0)), EADDRNOTAVAIL) << foreign;
      for (const char* foreign : {"::ffff:8.8.8.8", "2001:db8::1", "100::8"})
        EXPECT_EQ(BindAt(world.Tenant(type, AF_INET6), At(foreign, 0)), EADDRNOTAVAIL) << foreign;
    }
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedBind) == 16; }))
        << world.Count(NetCounter::kDeniedBind);
  });
}

TEST(Walls, ItsOwnLoopbackStaysInside) {
  InWorld([] {
    const World world;
    const UniqueFd inside = world.Tenant(), host = world.Host();
    Listen(inside, At("127.0.0.1", 8000));
    Listen(host, At("127.0.0.1", 8001));
    EXPECT_EQ(ConnectTo(world.Tenant(), At("127.0.0.1", 8000)), 0);
    EXPECT_EQ(ConnectTo(world.Tenant(), At("127.0.0.1", 8001)), ECONNREFUSED);
    EXPECT_EQ(ConnectTo(world.Tenant(), At(kTenantIp, 8001)), ECONNREFUSED);
  });
}

TEST(Walls, ConnectionsAreLimited) {
  InWorld([] {
    World world({.configure = [](ProxyConfig& config) { config.connections = 3; }});
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    std::vector<UniqueFd> clients, accepted;
    for (int i = 0; i < 3; ++i) {
      clients.push_back(world.Tenant());
      ASSERT_EQ(ConnectTo(clients.back(), At(kWorldIp, 8000)), 0);
      accepted.push_back(Accept(server));
    }
    const UniqueFd fourth = world.Tenant();
    EXPECT_EQ(ConnectTo(fourth, At(kWorldIp, 8000)), ECONNREFUSED);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedLimit) == 1u; }));
    clients.pop_back();
    accepted.pop_back();
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 2; }));
    EXPECT_EQ(ConnectTo(clients[0], At(kWorldIp, 8000)), EISCONN);
    const UniqueFd fifth = world.Tenant();
    ASSERT_EQ(ConnectTo(fifth, At(kWorldIp, 8000)), 0);
    Send(fifth, "x");
    EXPECT_EQ(Receive(Accept(server), 1), "x");
  });
}

// Before the proxy's sockets are there: foreign destinations are nobody's, not the tenant's own.
TEST(Walls, WithoutAProxyNothingForeignIsServed) {
  InWorld([] {
    const World world({.start_proxy = false});
    KeptFds kept;
    ASSERT_TRUE(
        AttachPrograms(*IpAddress::Parse(kTenantIp), world.tenant_netns(), world.cgroup(), kept));
    EXPECT_EQ(ConnectTo(world.Tenant(), At(kWorldIp, 8000)), EACCES);
    // Sockets of nobody's cgroup, so that only `capture` stands in the way.
    const UniqueFd wildcard = world.Inside(SOCK_DGRAM), sender = world.Inside(SOCK_DGRAM);
    ASSERT_EQ(BindAt(wildcard, At("0.0.0.0", 8000)), 0);
    ASSERT_EQ(SendTo(sender, At(kWorldIp, 8000), "foreign"), 0);
    ASSERT_EQ(SendTo(sender, At(kTenantIp, 8000), "own"), 0);
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(wildcard, &from), "own");
  });
}

TEST(Walls, ASourceThatIsNotTheTenantsIsAViolation) {
  auto memory = MakeCounterMemory("net");
  ASSERT_TRUE(memory);
  auto counters = CounterMapping<NetCounter>::Map(memory->get(), true);
  ASSERT_TRUE(counters);
  ProxyConfig config;
  config.ip = *IpAddress::Parse(kTenantIp);
  EventLoop loop = *EventLoop::Create();
  DenialLog log(loop, [](std::string_view) {});
  Gatekeeper gatekeeper(config, *counters->get(), SocketDiag(-1), log);
  for (const char* own : {kTenantIp, "127.0.0.1", "::1"})
    EXPECT_TRUE(gatekeeper.SourceIsTenants(*IpAddress::Parse(own))) << own;
  for (const char* foreign : {kPeerIp, kHostIp, "8.8.8.8", "2001:db8::7"})
    EXPECT_FALSE(gatekeeper.SourceIsTenants(*IpAddress::Parse(foreign))) << foreign;
  EXPECT_EQ((*counters)->Get(NetCounter::kSourceViolations), 4u);
}

// A tenant for trial, whose address is in the host's own 127/8.
TEST(Walls, ATenantInLoopbackReachesItsNeighbourOnlyThroughTheProxy) {
  InWorld([] {
    World world({.tenant_ip = "127.77.0.2", .configure = [](ProxyConfig& config) {
                   config.peers = {*Cidr::Parse("127.77.0.2"), *Cidr::Parse("127.77.0.3")};
                   config.egress.allow.push_back(*EgressRule::Parse("127.77.0.1:9000"));
                 }});
    const UniqueFd host = world.Host(), service = world.Host(), neighbour = world.Host();
    Listen(host, At("127.0.0.1", 9000));
    EXPECT_EQ(ConnectTo(world.Tenant(), At("127.0.0.1", 9000)), ECONNREFUSED);
    EXPECT_EQ(ConnectTo(world.Tenant(), At("127.77.0.9", 9000)), EACCES);
    Listen(service, At("127.77.0.1", 9000));
    const UniqueFd client = world.Tenant();
    ASSERT_EQ(ConnectTo(client, At("127.77.0.1", 9000)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(service, &from);
    EXPECT_EQ(from.address.ToString(), "127.77.0.2");
    ASSERT_EQ(::fchown(neighbour.get(), kProxyUid + 65536, 0), 0);
    Listen(neighbour, At("127.77.0.3", 80));
    const UniqueFd visitor = world.Tenant();
    ASSERT_EQ(ConnectTo(visitor, At("127.77.0.3", 80)), 0);
    const UniqueFd visited = Accept(neighbour, &from);
    EXPECT_EQ(from.address.ToString(), "127.77.0.2");
    EXPECT_EQ(BindAt(world.Tenant(), At("127.77.0.3", 0)), EADDRNOTAVAIL);
    EXPECT_EQ(world.Count(NetCounter::kSourceViolations), 0u);
  });
}

}  // namespace
}  // namespace bailey::netproxy
