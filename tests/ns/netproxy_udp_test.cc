// UDP through a running proxy.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include "netproxy/datagram_flows.h"
#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

TEST(Udp, GoesOutFromTheTenantsIpAndComesBackFromTheRealPeer) {
  for (const char* ip : {kTenantIp, "2001:db8:113::7"})
    InWorld([ip] {
      const World world({.tenant_ip = ip});
      const Endpoint place =
          At(ip == std::string(kTenantIp) ? kWorldIp : "2001:db8:113::200", 8000);
      const int family = place.address.family();
      const UniqueFd server = world.Outside(SOCK_DGRAM, family);
      ASSERT_EQ(BindAt(server, place), 0);
      const UniqueFd connected = world.Tenant(SOCK_DGRAM, family);
      const UniqueFd loose = world.Tenant(SOCK_DGRAM, family);
      ASSERT_EQ(ConnectTo(connected, place), 0);
      for (int i = 0; i < 3; ++i) {
        Endpoint from, back;
        Send(connected, "question");
        EXPECT_EQ(ReceiveDatagram(server, &from), "question");
        EXPECT_EQ(from.address.ToString(), ip);
        ASSERT_EQ(SendTo(server, from, "answer"), 0);
        EXPECT_EQ(ReceiveDatagram(connected, &back), "answer");
        ASSERT_EQ(SendTo(loose, place, "loose"), 0);
        EXPECT_EQ(ReceiveDatagram(server, &from), "loose");
        ASSERT_EQ(SendTo(server, from, std::string(9000, 'x')), 0);
        EXPECT_EQ(ReceiveDatagram(loose, &back), std::string(9000, 'x'));
        EXPECT_EQ(back, place);
      }
      EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDatagramsOut) == 6u; }));
      EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDatagramsIn) == 6u; }));
    });
}

TEST(Udp, OnlyThePeerGetsThrough) {
  InWorld([] {
    const World world;
    const UniqueFd server = world.Outside(SOCK_DGRAM), stranger = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(BindAt(server, At(kWorldIp, 8000)), 0);
    const UniqueFd client = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(SendTo(client, At(kWorldIp, 8000), "x"), 0);
    Endpoint from, back;
    EXPECT_EQ(ReceiveDatagram(server, &from), "x");
    ASSERT_EQ(SendTo(stranger, from, "forged"), 0);
    ASSERT_EQ(SendTo(server, from, "real"), 0);
    EXPECT_EQ(ReceiveDatagram(client, &back), "real");
  });
}

TEST(Udp, ARefusedDatagramIsReported) {
  for (const char* ip : {kTenantIp, "2001:db8:113::7"})
    InWorld([ip] {
      const World world({.tenant_ip = ip});
      const Endpoint place = At(ip == std::string(kTenantIp) ? kWorldIp : "2001:db8:113::200", 9);
      const UniqueFd client = world.Tenant(SOCK_DGRAM, place.address.family());
      ASSERT_EQ(ConnectTo(client, place), 0);
      Send(client, "x");
      EXPECT_EQ(ReceiveErrno(client), ECONNREFUSED);
      EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kRefusedUpstream) == 1u; }));
    });
}

TEST(Udp, AnotherTenantIsNotReached) {
  InWorld([] {
    const World world;
    const UniqueFd peer = world.Host(SOCK_DGRAM);
    ASSERT_EQ(BindAt(peer, At(kPeerIp, 8000)), 0);
    const UniqueFd client = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(ConnectTo(client, At(kPeerIp, 8000)), 0);
    Send(client, "x");
    EXPECT_EQ(ReceiveErrno(client), EHOSTUNREACH);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedTenant) == 1u; }));
  });
}

TEST(Udp, ANewConfigurationLetsWhatItAllowsGoOn) {
  InWorld([] {
    World world;
    const UniqueFd peer = world.Host(SOCK_DGRAM), server = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(BindAt(peer, At(kPeerIp, 53)), 0);
    ASSERT_EQ(::fchown(peer.get(), kProxyUid + 65536, 0), 0);
    ASSERT_EQ(BindAt(server, At(kWorldIp, 8000)), 0);
    const UniqueFd client = world.Tenant(SOCK_DGRAM);
    Endpoint to_peer, to_server, back;
    ASSERT_EQ(SendTo(client, At(kPeerIp, 53), "x"), 0);
    EXPECT_EQ(ReceiveDatagram(peer, &to_peer), "x");
    ASSERT_EQ(SendTo(client, At(kWorldIp, 8000), "x"), 0);
    EXPECT_EQ(ReceiveDatagram(server, &to_server), "x");
    world.config().egress.deny.push_back(*EgressRule::Parse(std::string(kWorldIp)));
    world.SendConfig(world.config());
    // The last that is changed by it, and so all of it is in force.
    ASSERT_TRUE(World::Await([&] { return SendTo(client, At(kWorldIp, 8001), "x") == EACCES; }));
    ASSERT_EQ(SendTo(server, to_server, "no more"), 0);
    ASSERT_EQ(SendTo(peer, to_peer, "still here"), 0);
    EXPECT_EQ(ReceiveDatagram(client, &back), "still here");
    EXPECT_EQ(world.Count(NetCounter::kDeniedTenant), 0u);
  });
}

TEST(Udp, FlowsAreBounded) {
  InWorld([] {
    const World world;
    const UniqueFd server = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(BindAt(server, At(kWorldIp, 8000)), 0);
    Endpoint from, back;
    for (size_t i = 0; i < DatagramFlows::kMostFlows * 2; ++i) {
      const UniqueFd client = world.Tenant(SOCK_DGRAM);
      ASSERT_EQ(SendTo(client, At(kWorldIp, 8000), "x"), 0);
      EXPECT_EQ(ReceiveDatagram(server, &from), "x");
      ASSERT_EQ(SendTo(server, from, "y"), 0);
      EXPECT_EQ(ReceiveDatagram(client, &back), "y");
    }
    EXPECT_TRUE(World::Await([&] {
      // Not one for each: the kernel gives a client the port of an earlier one now and then.
      return world.Count(NetCounter::kLimitUdpFlows) > DatagramFlows::kMostFlows / 2;
    }));
  });
}

TEST(Udp, WhoHasTheMostFlowsLosesOne) {
  InWorld([] {
    const World world;
    const UniqueFd server = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(BindAt(server, At(kWorldIp, 8000)), 0);
    const UniqueFd quiet = world.Tenant(SOCK_DGRAM), loud = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(SendTo(quiet, At(kWorldIp, 8000), "x"), 0);
    Endpoint quiet_from, back;
    EXPECT_EQ(ReceiveDatagram(server, &quiet_from), "x");
    for (uint16_t i = 1; i <= 2 * DatagramFlows::kMostFlows; ++i) {
      ASSERT_EQ(SendTo(loud, At("198.51.100.200", 10000 + i), "x"), 0);
      if (i % 64 != 0) continue;
      ASSERT_TRUE(World::Await([&] { return world.Count(NetCounter::kDatagramsOut) > i; }));
    }
    EXPECT_TRUE(World::Await(
        [&] { return world.Count(NetCounter::kLimitUdpFlows) > DatagramFlows::kMostFlows / 2; }));
    ASSERT_EQ(SendTo(server, quiet_from, "y"), 0);
    EXPECT_EQ(ReceiveDatagram(quiet, &back), "y");
  });
}

TEST(Udp, AnAnsweredDnsQuestionEndsItsFlow) {
  InWorld([] {
    const World world;
    const UniqueFd server = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(BindAt(server, At(kWorldIp, 53)), 0);
    const UniqueFd client = world.Tenant(SOCK_DGRAM);
    Endpoint first, again, back;
    // Two questions at once, and both are answered.
    ASSERT_EQ(SendTo(client, At(kWorldIp, 53), "one"), 0);
    ASSERT_EQ(SendTo(client, At(kWorldIp, 53), "two"), 0);
    EXPECT_EQ(ReceiveDatagram(server, &first), "one");
    EXPECT_EQ(ReceiveDatagram(server, &again), "two");
    EXPECT_EQ(first, again);
    ASSERT_EQ(SendTo(server, first, "1"), 0);
    EXPECT_EQ(ReceiveDatagram(client, &back), "1");
    ASSERT_EQ(SendTo(server, first, "2"), 0);
    EXPECT_EQ(ReceiveDatagram(client, &back), "2");
    // Nobody is there any more.
    EXPECT_TRUE(World::Await([&] {
      const UniqueFd late = world.Outside(SOCK_DGRAM);
      EXPECT_EQ(BindAt(late, At(kWorldIp, 0)), 0);
      EXPECT_EQ(ConnectTo(late, first), 0);
      Send(late, "late");
      return ReceiveErrno(late) == ECONNREFUSED;
    }));
  });
}

TEST(Udp, ARunOfDatagramsKeepsItsOrder) {
  for (const char* ip : {kTenantIp, "2001:db8:113::7"})
    InWorld([ip] {
      const World world({.tenant_ip = ip});
      const Endpoint place =
          At(ip == std::string(kTenantIp) ? kWorldIp : "2001:db8:113::200", 8000);
      const UniqueFd server = world.Outside(SOCK_DGRAM, place.address.family());
      ASSERT_EQ(BindAt(server, place), 0);
      const UniqueFd client = world.Tenant(SOCK_DGRAM, place.address.family());
      Endpoint from, back;
      for (int burst = 0; burst < 10; ++burst) {
        for (int i = 0; i < 50; ++i) ASSERT_EQ(SendTo(client, place, std::to_string(i)), 0);
        for (int i = 0; i < 50; ++i) EXPECT_EQ(ReceiveDatagram(server, &from), std::to_string(i));
        for (int i = 0; i < 50; ++i) ASSERT_EQ(SendTo(server, from, std::to_string(i)), 0);
        for (int i = 0; i < 50; ++i) EXPECT_EQ(ReceiveDatagram(client, &back), std::to_string(i));
      }
    });
}

TEST(Udp, AnUnreachableHostIsReported) {
  InWorld([] {
    const World world;
    const UniqueFd client = world.Tenant(SOCK_DGRAM);
    const int on = 1;  // the kernel keeps soft errors from who has not asked for them
    ASSERT_EQ(::setsockopt(client.get(), SOL_IP, IP_RECVERR, &on, sizeof on), 0);
    ASSERT_EQ(ConnectTo(client, At("203.0.113.99", 9)), 0);  // on the wire, and nobody there
    Send(client, "x");
    EXPECT_EQ(ReceiveErrno(client), EHOSTUNREACH);
  });
}

}  // namespace
}  // namespace bailey::netproxy
