// A fresh proxy takes over from the one that runs: nobody who connects meanwhile is refused.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/counters.h"
#include "base/files.h"
#include "tests/ns/supervisor_process_world.h"

namespace bailey::supervisor {
namespace {

// Connects to the tenant's :80; empty if that fails.
UniqueFd ConnectTo(const World& world) {
  sockaddr_storage address{};
  const socklen_t size = Endpoint{world.config.ip, 80}.ToSockaddr(&address);
  UniqueFd socket(::socket(world.config.ip.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{20, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return {};
  return socket;
}

std::string ReadToEnd(const UniqueFd& socket) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::recv(socket.get(), buffer.data(), buffer.size(), 0)) > 0;)
    text.append(buffer.data(), static_cast<size_t>(got));
  return text;
}

TEST(RestartOfTheProxy, RefusesNobodyAndEndsNoConnection) {
  World world;
  world.config.process.start = {"/bin/httpd", "-f", "-p", "80", "-h", "/www"};
  ASSERT_EQ(world.Start()["state"], "running");
  const auto served = [&] { return world.Fetch().find("a page") != std::string::npos; };
  ASSERT_TRUE(Eventually(served));
  UniqueFd open = ConnectTo(world);
  ASSERT_TRUE(open);
  ASSERT_TRUE(WriteAll(open.get(), "GET /index.html HTTP/1.0\r\n"));
  std::atomic<bool> ended = false;
  std::atomic<int> pages = 0, lost = 0;
  std::thread clients([&] {
    while (!ended) ++(served() ? pages : lost);
  });
  pid_t before = world.ServerPid("bailey-netproxy");
  for (int i = 0; i < 3; ++i) {
    const int seen = pages;
    EXPECT_EQ(world.Ask({{"op", "restart"}, {"server", "net"}}).at("ok"), true);
    EXPECT_TRUE(Eventually([&] { return pages > seen + 5 || lost > 0; }));
  }
  ended = true;
  clients.join();
  EXPECT_EQ(lost, 0);
  // Begun by the first proxy, which is still there for it.
  EXPECT_EQ(::kill(before, 0), 0);
  ASSERT_TRUE(WriteAll(open.get(), "\r\n"));
  EXPECT_NE(ReadToEnd(open).find("a page"), std::string::npos);
  open.Reset();
  // And then for nobody.
  EXPECT_TRUE(Eventually([&] { return ::kill(before, 0) != 0; }));
  EXPECT_EQ(world.Counter(2, static_cast<size_t>(SupervisorCounter::kProxyRestarts)), 3U);
  EXPECT_TRUE(Eventually(
      [&] { return world.Counter(1, static_cast<size_t>(NetCounter::kOpenConnections)) == 0; }));
  EXPECT_EQ(world.Stop()["state"], "stopped");
  EXPECT_TRUE(world.Leftovers().empty());
}

TEST(RestartOfTheProxy, WhatTheOldOneStillServesObeysNewLimits) {
  World world;
  world.config.process.start = {"/bin/httpd", "-f", "-p", "80", "-h", "/www"};
  ASSERT_EQ(world.Start()["state"], "running");
  ASSERT_TRUE(Eventually([&] { return world.Fetch().find("a page") != std::string::npos; }));
  const UniqueFd open = ConnectTo(world);
  ASSERT_TRUE(WriteAll(open.get(), "GET /index.html HTTP/1.0\r\n"));
  EXPECT_EQ(world.Ask({{"op", "restart"}, {"server", "net"}}).at("ok"), true);
  const boost::json::object network{{"tenant", world.config.name},
                                    {"ip", world.config.ip.ToString()},
                                    {"limits", {{"idleTimeoutMs", 500}}}};
  EXPECT_EQ(world.Ask({{"op", "set"}, {"network", network}}).at("ok"), true);
  EXPECT_EQ(ReadToEnd(open), "");
  EXPECT_NE(errno, EAGAIN) << "it was not ended";
}

TEST(RestartOfTheProxy, AProxyThatDoesNotMakeWayIsReplaced) {
  World world;
  world.config.process.start = {"/bin/httpd", "-f", "-p", "80", "-h", "/www"};
  ASSERT_EQ(world.Start()["state"], "running");
  const auto served = [&] { return world.Fetch().find("a page") != std::string::npos; };
  ASSERT_TRUE(Eventually(served));
  const pid_t stuck = world.ServerPid("bailey-netproxy");
  ASSERT_EQ(::kill(stuck, SIGSTOP), 0);
  EXPECT_EQ(world.Ask({{"op", "restart"}, {"server", "net"}}).at("ok"), true);
  EXPECT_NE(world.ServerPid("bailey-netproxy"), stuck);
  EXPECT_TRUE(served());
  EXPECT_EQ(world.Ask({{"op", "restart"}, {"server", "fs"}}).at("ok"), false);
}

}  // namespace
}  // namespace bailey::supervisor
