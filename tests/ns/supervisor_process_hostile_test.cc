// A proxy that was taken over, played by hostile_proxy: it gets nothing beyond its tenant.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <filesystem>

#include "base/counters.h"
#include "base/files.h"
#include "tests/ns/supervisor_process_world.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::IsEmpty;

// The tenant's proxy is replaced, and told what to do.
void TakeOver(World& world, const std::string& mode) {
  world.ReplaceProgram("bailey-netproxy", world.config.programs + "/hostile_proxy");
  world.config.network = json::serialize(json::object{{"mode", mode}});
}

TEST(HostileProxy, GetsListenersAtTheTenantsAddressOnPublishedPortsAlone) {
  World world;
  TakeOver(world, "ports");
  world.config.publish = {81};
  ASSERT_EQ(world.Start()["state"], "running");
  const auto log = ReadFile(world.runtime_dir() + "/supervisor.log");
  ASSERT_TRUE(log);
  EXPECT_THAT(*log, HasSubstr("hostile: 80 errno 13\n"));
  EXPECT_THAT(*log, HasSubstr("hostile: 1 errno 13\n"));
  EXPECT_THAT(*log, HasSubstr("hostile: 81 errno 0 at " + world.config.ip.ToString() + ":81\n"));
}

TEST(HostileProxy, IsToldAsWeAreWhyThereIsNoListener) {
  World world;
  TakeOver(world, "ports");
  world.config.publish = {81};
  const UniqueFd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  const socklen_t size = Endpoint{world.config.ip, 81}.ToSockaddr(&address);
  ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(world.Start()["state"], "running");
  const auto log = ReadFile(world.runtime_dir() + "/supervisor.log");
  ASSERT_TRUE(log);
  EXPECT_THAT(*log, HasSubstr("hostile: 81 errno 98\n"));
  EXPECT_THAT(*log, HasSubstr("publish: bind " + world.config.ip.ToString() + ":81: "));
}

class Misbehaviour : public testing::TestWithParam<const char*> {};

TEST_P(Misbehaviour, EndsTheProxyAndHereTheStart) {
  World world;
  TakeOver(world, GetParam());
  const json::object failed = world.Start();
  EXPECT_EQ(failed.at("state"), "failed") << failed;
  EXPECT_EQ(failed.at("stage"), "network") << failed;
  world.Stop();
  EXPECT_THAT(world.Leftovers(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Modes, Misbehaviour,
                         testing::Values("garbage", "foreign address", "greed", "hoard", "deaf"));

uint64_t Restarts(const World& world) {
  return world.Counter(2, static_cast<size_t>(SupervisorCounter::kProxyRestarts));
}

class LaterMisbehaviour : public testing::TestWithParam<const char*> {};

TEST_P(LaterMisbehaviour, EndsTheProxyWhichIsStartedAgain) {
  World world;
  TakeOver(world, GetParam());
  ASSERT_EQ(world.Start()["state"], "running");
  EXPECT_TRUE(Eventually([&] { return Restarts(world) >= 2; }));
  EXPECT_EQ(world.Status().at("state"), "running");
  EXPECT_EQ(world.Exec({"true"}).exit, 0);
}

INSTANTIATE_TEST_SUITE_P(Modes, LaterMisbehaviour,
                         testing::Values("ready, then garbage", "ready, then keep",
                                         "ready, then silence"));

// 0 or an errno.
int Try(int (*call)(int, const sockaddr*, socklen_t), int type, const Endpoint& place) {
  const UniqueFd socket(::socket(place.address.family(), type | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  const socklen_t size = place.ToSockaddr(&address);
  return call(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 ? 0 : errno;
}

TEST(HostileProxy, CannotFillTheLog) {
  World world;
  TakeOver(world, "talks");
  ASSERT_EQ(world.Start()["state"], "running");
  EXPECT_EQ(world.Exec({"sleep", "2"}).exit, 0);
  const std::string log = world.runtime_dir() + "/supervisor.log";
  const auto length = std::filesystem::file_size(log);
  EXPECT_GT(length, 10'000U);
  EXPECT_LT(length, 1'000'000U);
  // The supervisor's own lines are in it as well.
  const auto text = ReadFile(log, 2 << 20);
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr(": running\n"));
}

TEST(HostileProxy, CannotHoldAPortThatIsPublishedNoMore) {
  World world;
  TakeOver(world, "locks its socket");
  world.config.publish = {PublishRule(Transport::kUdp, 81, 81)};
  ASSERT_EQ(world.Start()["state"], "running");
  const Endpoint place{world.config.ip, 81};
  EXPECT_EQ(Try(::bind, SOCK_DGRAM, place), EADDRINUSE);
  EXPECT_EQ(world.Ask({{"op", "set"}, {"publish", json::array{80}}}).at("ok"), true);
  EXPECT_EQ(Try(::bind, SOCK_DGRAM, place), 0);
  EXPECT_TRUE(Eventually([&] { return Restarts(world) == 1; }));
}

TEST(HostileProxy, CannotServeByAListenerThatItGaveUp) {
  World world;
  TakeOver(world, "holds what it gave up");
  world.config.publish = {81};
  ASSERT_EQ(world.Start()["state"], "running");
  EXPECT_TRUE(Eventually([&] {
    return Try(::connect, SOCK_STREAM, {world.config.ip, 81}) == ECONNREFUSED;
  }));
}

}  // namespace
}  // namespace bailey::supervisor
