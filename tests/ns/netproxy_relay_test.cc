// TCP through a running proxy, both ways.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "netproxy/relay.h"
#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

// A connection through the proxy: the tenant's end and the other one.
struct Through {
  UniqueFd tenant, other;
};

Through Out(World& world, uint16_t port = 8000) {
  const UniqueFd server = world.Outside();
  Listen(server, At(kWorldIp, port));
  Through through{world.Tenant(), {}};
  EXPECT_EQ(ConnectTo(through.tenant, At(kWorldIp, port)), 0);
  through.other = Accept(server);
  return through;
}

Through In(World& world, uint16_t port = 8000) {
  const UniqueFd server = world.Tenant();
  Listen(server, At("0.0.0.0", port));
  EXPECT_TRUE(World::Await([&] { return world.IsPublished(port); }));
  Through through{{}, world.Outside()};
  EXPECT_EQ(ConnectTo(through.other, At(kTenantIp, port)), 0);
  through.tenant = Accept(server);
  return through;
}

std::string Pattern(size_t bytes, uint32_t seed) {
  std::string text(bytes, '\0');
  for (char& c : text) {
    seed = seed * 1664525 + 1013904223;
    c = static_cast<char>(seed >> 24);
  }
  return text;
}

void ResetNow(UniqueFd& socket) {
  const linger at_once{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket.Reset();
}

TEST(Outbound, ComesFromTheTenantsIpAndSeesTheRealPeer) {
  InWorld([] {
    World world;
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    const UniqueFd client = world.Tenant();
    ASSERT_EQ(ConnectTo(client, At(kWorldIp, 8000)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(server, &from);
    EXPECT_EQ(from.address.ToString(), kTenantIp);
    EXPECT_EQ(RemoteEnd(client), At(kWorldIp, 8000));
    EXPECT_EQ(LocalEnd(client).address.ToString(), kTenantIp);
    Send(client, "ping");
    EXPECT_EQ(Receive(accepted, 4), "ping");
    Send(accepted, "pong");
    EXPECT_EQ(Receive(client, 4), "pong");
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kConnectionsOut) == 1u; }));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kBytesOut) == 4; }));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kBytesIn) == 4; }));
    EXPECT_EQ(world.Count(NetCounter::kSourceViolations), 0u);
  });
}

TEST(Outbound, AWildcardListenerOfTheTenantsDoesNotCatchIt) {
  InWorld([] {
    World world;
    const UniqueFd own = world.Tenant();
    Listen(own, At("0.0.0.0", 8000));
    Through through = Out(world, 8000);
    Send(through.tenant, "x");
    EXPECT_EQ(Receive(through.other, 1), "x");
  });
}

// The errno of a connect, and the same by a non-blocking one.
void ExpectConnectFails(const World& world, const Endpoint& to, int error) {
  const int family = to.address.family();
  EXPECT_EQ(ConnectTo(world.Tenant(SOCK_STREAM, family), to), error) << to.ToString();
  const UniqueFd waiting = world.Tenant(SOCK_STREAM | SOCK_NONBLOCK, family);
  EXPECT_EQ(ConnectTo(waiting, to), EINPROGRESS) << to.ToString();
  pollfd writable{waiting.get(), POLLOUT, 0};
  EXPECT_EQ(::poll(&writable, 1, 10'000), 1) << to.ToString();
  int got = 0;
  socklen_t size = sizeof got;
  ::getsockopt(waiting.get(), SOL_SOCKET, SO_ERROR, &got, &size);
  EXPECT_EQ(got, error) << to.ToString();
}

TEST(Outbound, AConnectFailsAsTheDestinationFails) {
  InWorld([] {
    const World world;
    ASSERT_EQ(std::system("ip route add unreachable 198.51.100.50 && "
                          "ip route add prohibit 198.51.100.51"),
              0);
    ExpectConnectFails(world, At(kWorldIp, 9), ECONNREFUSED);
    ExpectConnectFails(world, At("198.51.100.50", 80), EHOSTUNREACH);
    ExpectConnectFails(world, At("198.51.100.51", 80), EHOSTUNREACH);  // ICMP has no EACCES
    ExpectConnectFails(world, At("192.0.2.1", 80), ENETUNREACH);       // the host has no route
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kRefusedUpstream) == 2u; }));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kUnreachableUpstream) == 6u; }));
    EXPECT_EQ(world.Count(NetCounter::kConnectionsOut), 0u);
  });
}

// Nobody says anything: the program waits for as long as it has asked its kernel to, and hears of
// it by that errno.
TEST(Outbound, ASilentDestinationTimesOut) {
  InWorld([] {
    const World world;
    const UniqueFd full = world.Outside();
    ASSERT_EQ(BindAt(full, At(kWorldIp, 8000)), 0);
    ASSERT_EQ(::listen(full.get(), 0), 0);
    std::vector<UniqueFd> fill;
    for (int i = 0; i < 3; ++i) {
      fill.push_back(world.Outside(SOCK_STREAM | SOCK_NONBLOCK));
      ConnectTo(fill.back(), At(kWorldIp, 8000));
    }
    const UniqueFd client = world.Tenant();
    const int once = 1;
    ::setsockopt(client.get(), IPPROTO_TCP, TCP_SYNCNT, &once, sizeof once);
    EXPECT_EQ(ConnectTo(client, At(kWorldIp, 8000)), ETIMEDOUT);
  });
}

TEST(Outbound, AnIpv6ConnectFailsAsTheDestinationFails) {
  InWorld([] {
    const World world({.tenant_ip = "2001:db8:113::7"});
    ASSERT_EQ(std::system("ip -6 route add prohibit 2001:db8:99::1 metric 1"), 0);
    ExpectConnectFails(world, At("2001:db8:113::200", 9), ECONNREFUSED);
    ExpectConnectFails(world, At("2001:db8:99::1", 80), EACCES);
    ExpectConnectFails(world, At("2001:db8:98::1", 80), ENETUNREACH);
  });
}

// The program gave up before its destination answered: nothing is left of it.
TEST(Outbound, AConnectGivenUpIsForgotten) {
  InWorld([] {
    const World world;
    const UniqueFd full = world.Outside();
    ASSERT_EQ(BindAt(full, At(kWorldIp, 8000)), 0);
    ASSERT_EQ(::listen(full.get(), 0), 0);
    std::vector<UniqueFd> fill;
    for (int i = 0; i < 3; ++i) {
      fill.push_back(world.Outside(SOCK_STREAM | SOCK_NONBLOCK));
      ConnectTo(fill.back(), At(kWorldIp, 8000));
    }
    for (int i = 0; i < 10; ++i) {
      const UniqueFd client = world.Tenant(SOCK_STREAM | SOCK_NONBLOCK);
      EXPECT_EQ(ConnectTo(client, At(kWorldIp, 8000)), EINPROGRESS);
    }
    const UniqueFd server = world.Outside(), client = world.Tenant();
    Listen(server, At(kWorldIp, 8001));
    EXPECT_EQ(ConnectTo(client, At(kWorldIp, 8001)), 0);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 1; }));
  });
}

TEST(Inbound, KeepsTheClientsAddressAndPort) {
  InWorld([] {
    World world;
    const UniqueFd server = world.Tenant();
    Listen(server, At("0.0.0.0", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    const UniqueFd client = world.Outside();
    ASSERT_EQ(BindAt(client, At(kWorldIp, 45678)), 0);
    ASSERT_EQ(ConnectTo(client, At(kTenantIp, 80)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(server, &from);
    EXPECT_EQ(from, At(kWorldIp, 45678));
    EXPECT_EQ(LocalEnd(accepted), At(kTenantIp, 80));
    Send(client, "GET");
    EXPECT_EQ(Receive(accepted, 3), "GET");
    Send(accepted, "200");
    EXPECT_EQ(Receive(client, 3), "200");
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kConnectionsIn) == 1u; }));
  });
}

TEST(Inbound, AClientPortThatTheTenantListensOnIsReplaced) {
  InWorld([] {
    World world;
    const UniqueFd server = world.Tenant(), other = world.Tenant();
    Listen(server, At("0.0.0.0", 80));
    Listen(other, At("0.0.0.0", 45678));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    const UniqueFd client = world.Outside();
    ASSERT_EQ(BindAt(client, At(kWorldIp, 45678)), 0);
    ASSERT_EQ(ConnectTo(client, At(kTenantIp, 80)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(server, &from);
    EXPECT_EQ(from.address.ToString(), kWorldIp);
    Send(client, "x");
    EXPECT_EQ(Receive(accepted, 1), "x");
  });
}

// The client ended the first connection, so the proxy's end inside is in TIME-WAIT.
TEST(Inbound, AClientComesBackWithItsPort) {
  InWorld([] {
    World world;
    const std::string reuse = "nsenter --net=/proc/" + std::to_string(::getpid()) + "/fd/" +
                              std::to_string(world.world_netns()) +
                              " sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse'";
    ASSERT_EQ(std::system(reuse.c_str()), 0);
    const UniqueFd server = world.Tenant();
    Listen(server, At("0.0.0.0", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    for (int i = 0; i < 2; ++i) {
      if (i == 1) ::usleep(1'200'000);  // TIME-WAIT gives way after a second
      UniqueFd client = world.Outside();
      const int on = 1;
      ::setsockopt(client.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      ASSERT_EQ(BindAt(client, At(kWorldIp, 40000)), 0);
      ASSERT_EQ(ConnectTo(client, At(kTenantIp, 80)), 0);
      Endpoint from;
      const UniqueFd accepted = Accept(server, &from);
      EXPECT_EQ(from, At(kWorldIp, 40000));
      client.Reset();
      EXPECT_EQ(Receive(accepted, 1), "");
    }
  });
}

TEST(Inbound, AUserOfTheHostDoesNotComeFromLoopback) {
  InWorld([] {
    World world;
    const UniqueFd server = world.Tenant();
    Listen(server, At("0.0.0.0", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    const UniqueFd client = world.Host();
    ASSERT_EQ(BindAt(client, At("127.0.0.1", 0)), 0);
    ASSERT_EQ(ConnectTo(client, At(kTenantIp, 80)), 0);
    Endpoint from;
    const UniqueFd accepted = Accept(server, &from);
    EXPECT_EQ(from.address.ToString(), kTenantIp);
  });
}

class BothWays : public testing::TestWithParam<Direction> {
 protected:
  static Through Connect(World& world) {
    return GetParam() == Direction::kOut ? Out(world) : In(world);
  }
};

TEST_P(BothWays, BulkDataArrivesAsItWasSent) {
  InWorld([] {
    World world;
    Through through = Connect(world);
    const std::string up = Pattern(30 << 20, 1), down = Pattern(20 << 20, 2);
    std::thread sender([&] {
      Send(through.tenant, up);
      ::shutdown(through.tenant.get(), SHUT_WR);
    });
    std::thread replier([&] {
      Send(through.other, down);
      ::shutdown(through.other.get(), SHUT_WR);
    });
    std::string got_down;
    std::thread receiver([&] { got_down = Receive(through.tenant, down.size() + 1); });
    EXPECT_TRUE(Receive(through.other, up.size() + 1) == up);
    sender.join();
    replier.join();
    receiver.join();
    EXPECT_TRUE(got_down == down);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 0; }));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kBytesOut) == up.size(); }));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kBytesIn) == down.size(); }));
  });
}

// How many connections of a network namespace have their keepalive timer running.
int KeptAlive(int netns) {
  const std::string command = "nsenter --net=/proc/" + std::to_string(::getpid()) + "/fd/" +
                              std::to_string(netns) +
                              " ss -Htno state established | grep -c 'timer:(keepalive,[45]min'";
  FILE* const said = ::popen(command.c_str(), "r");
  int count = -1;
  EXPECT_EQ(::fscanf(said, "%d", &count), 1);
  ::pclose(said);
  return count;
}

// The tenant's own ends have none.
TEST_P(BothWays, BothLegsFindOutWhetherTheirPeerHasVanished) {
  InWorld([] {
    World world;
    const Through through = Connect(world);
    const UniqueFd host(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(World::Await([&] { return KeptAlive(host.get()) == 1; }));
    EXPECT_TRUE(World::Await([&] { return KeptAlive(world.tenant_netns()) == 1; }));
  });
}

TEST_P(BothWays, ManySmallExchangesInOrder) {
  InWorld([] {
    World world;
    Through through = Connect(world);
    const int on = 1;
    ::setsockopt(through.tenant.get(), SOL_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(through.other.get(), SOL_TCP, TCP_NODELAY, &on, sizeof on);
    for (int i = 0; i < 2000; ++i) {
      const std::string text = "message " + std::to_string(i);
      Send(through.tenant, text);
      ASSERT_EQ(Receive(through.other, text.size()), text);
      Send(through.other, text);
      ASSERT_EQ(Receive(through.tenant, text.size()), text);
    }
  });
}

TEST_P(BothWays, HalfCloseLeavesTheOtherHalfOpen) {
  InWorld([] {
    World world;
    Through through = Connect(world);
    Send(through.tenant, "question");
    ::shutdown(through.tenant.get(), SHUT_WR);
    EXPECT_EQ(Receive(through.other, 100), "question");  // and the end of file
    Send(through.other, "answer");
    EXPECT_EQ(Receive(through.tenant, 6), "answer");
    through.other.Reset();
    EXPECT_EQ(ReceiveErrno(through.tenant), 0);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 0; }));
  });
}

TEST_P(BothWays, AResetIsAResetOnTheOtherSide) {
  InWorld([] {
    World world;
    {
      Through through = Connect(world);
      Send(through.tenant, "x");
      EXPECT_EQ(Receive(through.other, 1), "x");
      ResetNow(through.tenant);
      EXPECT_EQ(ReceiveErrno(through.other), ECONNRESET);
    }
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 0; }));
  });
}

TEST_P(BothWays, AResetFromOutsideIsAResetInside) {
  InWorld([] {
    World world;
    Through through = Connect(world);
    Send(through.tenant, "x");
    EXPECT_EQ(Receive(through.other, 1), "x");
    ResetNow(through.other);
    EXPECT_EQ(ReceiveErrno(through.tenant), ECONNRESET);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 0; }));
  });
}

TEST_P(BothWays, ASlowReaderStopsTheSender) {
  InWorld([] {
    World world;
    Through through = Connect(world);
    // Until nothing is taken any more: everything in between is full.
    const std::string chunk(1 << 20, 'x');
    const timeval brief{0, 500'000};
    ::setsockopt(through.tenant.get(), SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief);
    size_t sent = 0;
    for (;;) {
      const ssize_t more = ::send(through.tenant.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL);
      if (more <= 0) break;
      sent += static_cast<size_t>(more);
      ASSERT_LT(sent, size_t{64} << 20) << "somebody in between takes everything";
    }
    EXPECT_EQ(Receive(through.other, sent).size(), sent);
    Send(through.tenant, "still there");
    EXPECT_EQ(Receive(through.other, 11), "still there");
  });
}

// The proxy's own two sockets, looked at by copies of them.
TEST_P(BothWays, BothLegsAreKeptAlive) {
  InWorld([] {
    World world;
    const Through through = Connect(world);
    const UniqueFd proxy(static_cast<int>(::syscall(SYS_pidfd_open, world.proxy_pid(), 0)));
    const auto kept_alive = [&] {
      int legs = 0;
      for (int number = 0; number < 256; ++number) {
        const UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, proxy.get(), number, 0)));
        tcp_info info{};
        socklen_t size = sizeof info;
        if (!copy || ::getsockopt(copy.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) continue;
        int on = 0;
        size = sizeof on;
        ::getsockopt(copy.get(), SOL_SOCKET, SO_KEEPALIVE, &on, &size);
        if (info.tcpi_state == TCP_ESTABLISHED && on != 0) ++legs;
      }
      return legs;
    };
    EXPECT_TRUE(World::Await([&] { return kept_alive() == 2; })) << kept_alive();
  });
}

TEST_P(BothWays, UrgentDataStaysInLine) {
  InWorld([] {
    World world;
    Through through = Connect(world);
    Send(through.tenant, "ab");
    ASSERT_EQ(::send(through.tenant.get(), "!", 1, MSG_OOB), 1);
    Send(through.tenant, "cd");
    EXPECT_EQ(Receive(through.other, 5), "ab!cd");
  });
}

INSTANTIATE_TEST_SUITE_P(, BothWays, testing::Values(Direction::kOut, Direction::kIn),
                         [](const auto& row) {
                           return row.param == Direction::kOut ? "Out" : "In";
                         });

}  // namespace
}  // namespace bailey::netproxy
