// What a tenant may use of the network, on a running proxy, and changed while it runs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>

#include <thread>

#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

World::Options With(std::function<void(NetLimits&)> limit) {
  World::Options options;
  options.configure = [limit = std::move(limit)](ProxyConfig& config) { limit(config.limits); };
  return options;
}

// The errno of each of so many connects that are begun at once; EINPROGRESS for one that has not
// ended within `patience`.
std::vector<int> ConnectMany(const World& world, size_t count, const Endpoint& to,
                             std::vector<UniqueFd>& sockets,
                             std::chrono::milliseconds patience = 5s) {
  std::vector<pollfd> waiting;
  for (size_t i = 0; i < count; ++i) {
    sockets.push_back(world.Tenant(SOCK_STREAM | SOCK_NONBLOCK));
    ConnectTo(sockets.back(), to);
    waiting.push_back({sockets.back().get(), POLLOUT, 0});
  }
  std::vector<int> results(count, EINPROGRESS);
  for (const auto end = Clock::now() + patience; Clock::now() < end;) {
    size_t left = 0;
    ::poll(waiting.data(), waiting.size(), 50);
    for (size_t i = 0; i < count; ++i) {
      if (waiting[i].fd < 0) continue;
      if (waiting[i].revents == 0) {
        ++left;
        continue;
      }
      socklen_t size = sizeof results[i];
      ::getsockopt(waiting[i].fd, SOL_SOCKET, SO_ERROR, &results[i], &size);
      waiting[i].fd = -1;
    }
    if (left == 0) break;
  }
  return results;
}

size_t CountOf(const std::vector<int>& results, int error) {
  return static_cast<size_t>(std::count(results.begin(), results.end(), error));
}

TEST(ConnectionRate, DelaysFirstAndThenRefuses) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.connection_rate = 20; }));
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    std::vector<UniqueFd> sockets;
    const auto results = ConnectMany(world, 100, At(kWorldIp, 8000), sockets);
    const uint64_t refused = world.Count(NetCounter::kLimitConnectionRate);
    EXPECT_EQ(CountOf(results, 0) + CountOf(results, ECONNREFUSED), 100u);
    EXPECT_EQ(CountOf(results, ECONNREFUSED), refused);
    EXPECT_GE(refused, 10u);  // a second's worth waited
    EXPECT_GE(world.Count(NetCounter::kDelayedConnections), 15u);
    EXPECT_GE(CountOf(results, 0), 20u);
    EXPECT_EQ(world.Count(NetCounter::kDeniedLimit), refused);
  });
}

// Connects until it has been seen.
bool AwaitByConnecting(const World& world, std::vector<UniqueFd>& clients, NetCounter counter) {
  return World::Await([&] {
    clients.push_back(world.Outside(SOCK_STREAM | SOCK_NONBLOCK));
    ConnectTo(clients.back(), At(kTenantIp, 80));
    return world.Count(counter) > 0;
  });
}

TEST(ConnectionRate, HoldsForWhatComesInAsWell) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.connection_rate = 10; }));
    const UniqueFd server = world.Tenant();
    Listen(server, At("0.0.0.0", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    std::vector<UniqueFd> clients;
    EXPECT_TRUE(AwaitByConnecting(world, clients, NetCounter::kDelayedConnections));
    for (const UniqueFd& client : clients) {
      Send(Accept(server), "x");
      ASSERT_EQ(::fcntl(client.get(), F_SETFL, 0), 0);
      EXPECT_EQ(Receive(client, 1), "x");
    }
    EXPECT_TRUE(AwaitByConnecting(world, clients, NetCounter::kLimitConnectionRate));
  });
}

TEST(DestinationRate, HoldsForOneAddressAlone) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.destination_rate = 5; }));
    const UniqueFd server = world.Outside(), host = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    Listen(host, At("203.0.113.200", 8000));
    std::vector<UniqueFd> sockets;
    const auto results = ConnectMany(world, 30, At(kWorldIp, 8000), sockets);
    EXPECT_GE(CountOf(results, 0), 5u);
    EXPECT_EQ(CountOf(results, ECONNREFUSED), world.Count(NetCounter::kLimitDestinationRate));
    EXPECT_GE(CountOf(results, ECONNREFUSED), 5u);
    const uint64_t delayed = world.Count(NetCounter::kDelayedConnections);
    EXPECT_EQ(ConnectTo(world.Tenant(), At("203.0.113.200", 8000)), 0);
    EXPECT_EQ(world.Count(NetCounter::kDelayedConnections), delayed);
  });
}

TEST(HalfOpen, IsBounded) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.half_open = 3; }));
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    std::vector<UniqueFd> sockets;
    // Nobody answers there, not even a router.
    const auto results = ConnectMany(world, 5, At("198.51.100.77", 80), sockets, 1s);
    EXPECT_EQ(CountOf(results, EINPROGRESS), 3u);
    EXPECT_EQ(CountOf(results, ECONNREFUSED), 2u);
    EXPECT_EQ(world.Count(NetCounter::kLimitHalfOpen), 2u);
    world.config().limits.half_open = 4;
    world.SendConfig(world.config());
    EXPECT_TRUE(World::Await([&] { return ConnectTo(world.Tenant(), At(kWorldIp, 8000)) == 0; }));
  });
}

// SYNs with IP options are not held: such a connect succeeds, and is dialed then.
TEST(HalfOpen, HoldsForWhatIsNotHeld) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.half_open = 3; }));
    std::vector<UniqueFd> sockets;
    const char nothing[4] = {1, 1, 1, 1};  // IPOPT_NOP
    for (int i = 0; i < 5; ++i) {
      sockets.push_back(world.Tenant());
      ASSERT_EQ(::setsockopt(sockets.back().get(), SOL_IP, IP_OPTIONS, nothing, sizeof nothing), 0);
      ASSERT_EQ(ConnectTo(sockets.back(), At("198.51.100.77", 80)), 0);
    }
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kLimitHalfOpen) == 2u; }));
    std::vector<UniqueFd> held;
    const auto results = ConnectMany(world, 1, At("198.51.100.77", 80), held);
    EXPECT_EQ(CountOf(results, ECONNREFUSED), 1u);
    // One that is answered counts no more.
    world.config().limits.half_open = 4;
    world.SendConfig(world.config());
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    for (int i = 0; i < 5; ++i) {
      const UniqueFd client = world.Tenant();
      ASSERT_EQ(::setsockopt(client.get(), SOL_IP, IP_OPTIONS, nothing, sizeof nothing), 0);
      ASSERT_EQ(ConnectTo(client, At(kWorldIp, 8000)), 0);
      const UniqueFd accepted = Accept(server);
      Send(accepted, "x");
      ASSERT_EQ(Receive(client, 1), "x");
    }
  });
}

TEST(Connections, AreCountedTogetherWhereverTheyWait) {
  InWorld([] {
    World::Options options;
    options.configure = [](ProxyConfig& config) { config.connections = 3; };
    World world(options);
    const UniqueFd server = world.Tenant();
    Listen(server, At("0.0.0.0", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    std::vector<UniqueFd> sockets;
    for (int i = 0; i < 3; ++i) {
      sockets.push_back(world.Tenant(SOCK_STREAM | SOCK_NONBLOCK));
      ASSERT_EQ(ConnectTo(sockets.back(), At("198.51.100.77", 80)), EINPROGRESS);
    }
    const UniqueFd client = world.Outside();
    ASSERT_EQ(ConnectTo(client, At(kTenantIp, 80)), 0);
    EXPECT_EQ(ReceiveErrno(client), ECONNRESET);
    EXPECT_EQ(world.Count(NetCounter::kLimitConnections), 1u);
  });
}

// Clients who wait when a proxy drains are served by it, each of them, and are in nobody's gauge.
TEST(ConnectionRate, WhoWaitsInADrainingProxyIsServed) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.connection_rate = 100; }));
    const UniqueFd server = world.Tenant();
    Listen(server, At("0.0.0.0", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    constexpr int kClients = 80;
    std::vector<UniqueFd> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(world.Outside(SOCK_STREAM | SOCK_NONBLOCK));
      ASSERT_EQ(ConnectTo(clients.back(), At(kTenantIp, 80)), EINPROGRESS);
    }
    ASSERT_TRUE(World::Await([&] { return world.Count(NetCounter::kDelayedConnections) > 40u; }));
    world.ReplaceProxy();
    for (int i = 0; i < kClients; ++i) Accept(server);
    clients.clear();
    EXPECT_TRUE(world.ReplacedProxiesEnd());
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 0u; }));
  });
}

TEST(UdpFlows, TheOldestMakesRoom) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.udp_flows = 2; }));
    const UniqueFd server = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(BindAt(server, At(kWorldIp, 5000)), 0);
    std::vector<UniqueFd> clients;
    std::vector<Endpoint> from(3);
    for (Endpoint& endpoint : from) {
      clients.push_back(world.Tenant(SOCK_DGRAM));
      ASSERT_EQ(SendTo(clients.back(), At(kWorldIp, 5000), "x"), 0);
      EXPECT_EQ(ReceiveDatagram(server, &endpoint), "x");
    }
    EXPECT_EQ(world.Count(NetCounter::kLimitUdpFlows), 1u);
    for (const Endpoint& to : from) SendTo(server, to, "answer");
    Endpoint peer;
    EXPECT_EQ(ReceiveDatagram(clients[2], &peer), "answer");
    EXPECT_EQ(ReceiveDatagram(clients[1], &peer), "answer");
    ASSERT_EQ(::fcntl(clients[0].get(), F_SETFL, O_NONBLOCK), 0);
    char byte = 0;
    EXPECT_EQ(::recv(clients[0].get(), &byte, 1, 0), -1);
  });
}

struct Pair {
  UniqueFd tenant, other;
};
Pair Join(World& world, const UniqueFd& server) {
  Pair pair{world.Tenant(), {}};
  EXPECT_EQ(ConnectTo(pair.tenant, At(kWorldIp, 8000)), 0);
  pair.other = Accept(server);
  return pair;
}

// Sends until the socket is shut, and counts what arrives at the other end meanwhile.
class Transfer {
 public:
  Transfer(const UniqueFd& from, const UniqueFd& to)
      : sender_([&from] {
          const std::string chunk(65536, 'x');
          while (::send(from.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL) > 0) {
          }
        }),
        receiver_([this, &to] {
          std::string buffer(65536, '\0');
          for (;;) {
            const ssize_t got = ::recv(to.get(), buffer.data(), buffer.size(), 0);
            if (got <= 0) return;
            received_ += static_cast<size_t>(got);
          }
        }) {}
  // After both sockets were shut.
  ~Transfer() {
    sender_.join();
    receiver_.join();
  }
  size_t received() const { return received_; }

 private:
  std::atomic<size_t> received_ = 0;
  std::thread sender_, receiver_;
};

void Shut(const Pair& pair) {
  ::shutdown(pair.tenant.get(), SHUT_RDWR);
  ::shutdown(pair.other.get(), SHUT_RDWR);
}

class BandwidthBothWays : public testing::TestWithParam<bool> {};  // true: what goes out

TEST_P(BandwidthBothWays, IsKeptAndSharedFairly) {
  InWorld([] {
    const bool out = GetParam();
    constexpr double kRate = 4e6;
    World world(With([out](NetLimits& limits) {
      (out ? limits.bytes_out : limits.bytes_in) = static_cast<uint64_t>(kRate);
    }));
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    const Pair one = Join(world, server), two = Join(world, server);
    const auto begun = Clock::now();
    double first = 0, second = 0, seconds = 0;
    {
      const Transfer a(out ? one.tenant : one.other, out ? one.other : one.tenant);
      const Transfer b(out ? two.tenant : two.other, out ? two.other : two.tenant);
      std::this_thread::sleep_for(2s);
      first = static_cast<double>(a.received());
      second = static_cast<double>(b.received());
      seconds = std::chrono::duration<double>(Clock::now() - begun).count();
      Shut(one);
      Shut(two);
    }
    EXPECT_LE(first + second, kRate * (seconds + 0.05) * 1.02 + 100'000);
    EXPECT_GE(first + second, kRate * seconds * 0.8);
    EXPECT_NEAR(first / second, 1, 0.35);  // a busy machine may keep one from reading
    EXPECT_GT(world.Count(out ? NetCounter::kLimitBandwidthOut : NetCounter::kLimitBandwidthIn),
              0u);
    EXPECT_EQ(world.Count(out ? NetCounter::kLimitBandwidthIn : NetCounter::kLimitBandwidthOut),
              0u);
  });
}

INSTANTIATE_TEST_SUITE_P(, BandwidthBothWays, testing::Bool(),
                         [](const auto& row) { return row.param ? "Out" : "In"; });

// What does not fit is dropped. No clock is asked: far more comes at once than a second's worth.
constexpr int kBurst = 60, kRate = 2'000;
const std::string kDatagram(1000, 'x');

uint64_t CountDrops(const World& world, NetCounter moved, NetCounter dropped) {
  EXPECT_TRUE(World::Await([&] { return world.Count(moved) + world.Count(dropped) >= kBurst; }));
  EXPECT_GE(world.Count(moved), 1u);
  return world.Count(dropped);
}

TEST(UdpBandwidth, HoldsForWhatGoesOut) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.bytes_out = kRate; }));
    const UniqueFd client = world.Tenant(SOCK_DGRAM);
    for (int i = 0; i < kBurst; ++i) ASSERT_EQ(SendTo(client, At(kWorldIp, 5000), kDatagram), 0);
    EXPECT_GT(CountDrops(world, NetCounter::kDatagramsOut, NetCounter::kLimitBandwidthOut),
              uint64_t{kBurst} / 2);
    EXPECT_EQ(world.Count(NetCounter::kLimitBandwidthIn), 0u);
  });
}

TEST(UdpBandwidth, HoldsForAnswers) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.bytes_in = kRate; }));
    const UniqueFd server = world.Outside(SOCK_DGRAM), client = world.Tenant(SOCK_DGRAM);
    ASSERT_EQ(BindAt(server, At(kWorldIp, 5000)), 0);
    ASSERT_EQ(SendTo(client, At(kWorldIp, 5000), "x"), 0);
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(server, &from), "x");
    for (int i = 0; i < kBurst; ++i) ASSERT_EQ(SendTo(server, from, kDatagram), 0);
    EXPECT_GT(CountDrops(world, NetCounter::kDatagramsIn, NetCounter::kLimitBandwidthIn),
              uint64_t{kBurst} / 2);
    EXPECT_EQ(world.Count(NetCounter::kLimitBandwidthOut), 0u);
  });
}

TEST(UdpBandwidth, HoldsForAPublishedPort) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.bytes_in = limits.bytes_out = kRate; }));
    const UniqueFd server = world.Tenant(SOCK_DGRAM), client = world.Outside(SOCK_DGRAM);
    ASSERT_EQ(BindAt(server, At("0.0.0.0", 53)), 0);
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(53, Transport::kUdp); }));
    for (int i = 0; i < kBurst; ++i) ASSERT_EQ(SendTo(client, At(kTenantIp, 53), kDatagram), 0);
    EXPECT_GT(CountDrops(world, NetCounter::kDatagramsIn, NetCounter::kLimitBandwidthIn),
              uint64_t{kBurst} / 2);
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(server, &from), kDatagram);
    for (int i = 0; i < kBurst; ++i) ASSERT_EQ(SendTo(server, from, kDatagram), 0);
    EXPECT_GT(CountDrops(world, NetCounter::kDatagramsOut, NetCounter::kLimitBandwidthOut),
              uint64_t{kBurst} / 2);
  });
}

TEST(UdpBandwidth, HoldsForPings) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.bytes_out = kRate; }));
    const UniqueFd socket = world.Ping();
    std::string request(1000, '\0');
    request[0] = ICMP_ECHO;
    for (int i = 0; i < kBurst; ++i) SendTo(socket, At(kWorldIp, 0), request);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kLimitBandwidthOut) > 10; }));
    world.config().limits = {};
    world.config().limits.bytes_in = kRate;
    world.SendConfig(world.config());
    EXPECT_TRUE(World::Await([&] {
      SendTo(socket, At(kWorldIp, 0), request);
      return world.Count(NetCounter::kLimitBandwidthIn) > 10;
    }));
  });
}

TEST(Limits, AreChangedWithoutADroppedConnection) {
  InWorld([] {
    World world;
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    const Pair pair = Join(world, server), idle = Join(world, server);
    const std::string text(3 << 20, 'x');
    ProxyConfig& config = world.config();
    config.limits.bytes_out = 20'000;
    config.connections = 1;
    world.SendConfig(config);
    // The new limit is in force.
    EXPECT_TRUE(World::Await([&] {
      const UniqueFd another = world.Tenant();
      return ConnectTo(another, At(kWorldIp, 8000)) == ECONNREFUSED;
    }));
    EXPECT_GE(world.Count(NetCounter::kLimitConnections), 1u);
    std::thread sender([&] { Send(pair.tenant, text); });
    EXPECT_EQ(Receive(pair.other, 10'000).size(), 10'000u);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kLimitBandwidthOut) > 0; }));
    config.limits = {};
    config.connections = 0;
    world.SendConfig(config);
    EXPECT_EQ(Receive(pair.other, text.size() - 10'000).size(), text.size() - 10'000);
    sender.join();
    Send(idle.tenant, "still here");
    EXPECT_EQ(Receive(idle.other, 10), "still here");
    EXPECT_EQ(ConnectTo(world.Tenant(), At(kWorldIp, 8000)), 0);
  });
}

TEST(IdleTimeout, EndsWhatDoesNotMove) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.idle_timeout = 2s; }));
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    const Pair busy = Join(world, server), idle = Join(world, server);
    EXPECT_TRUE(World::Await([&] {
      Send(busy.tenant, "x");
      EXPECT_EQ(Receive(busy.other, 1), "x");
      return world.Count(NetCounter::kLimitIdle) > 0;
    }));
    EXPECT_EQ(ReceiveErrno(idle.tenant), ECONNRESET);
    EXPECT_EQ(ReceiveErrno(idle.other), ECONNRESET);
    Send(busy.tenant, "x");
    EXPECT_EQ(Receive(busy.other, 1), "x");
    EXPECT_EQ(world.Count(NetCounter::kLimitIdle), 1u);
  });
}

TEST(IdleTimeout, ComesThoughTheConfigurationChangesAllTheTime) {
  InWorld([] {
    World world(With([](NetLimits& limits) { limits.idle_timeout = 1s; }));
    const UniqueFd server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    const Pair idle = Join(world, server);
    EXPECT_TRUE(World::Await([&] {
      world.config().limits.udp_flows ^= 1;
      world.SendConfig(world.config());
      std::this_thread::sleep_for(20ms);
      return world.Count(NetCounter::kLimitIdle) > 0;
    }));
  });
}

}  // namespace
}  // namespace bailey::netproxy
