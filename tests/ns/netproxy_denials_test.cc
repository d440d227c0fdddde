// What is refused is logged, as a sample, and counted, each one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include "base/files.h"
#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

using testing::HasSubstr;

// The log of a proxy that is started after this.
class Log {
 public:
  Log() : memory_(::memfd_create("log", MFD_CLOEXEC)), before_(::dup(STDERR_FILENO)) {
    ::dup2(memory_.get(), STDERR_FILENO);
  }
  ~Log() { ::dup2(before_.get(), STDERR_FILENO); }
  std::string Text() const {
    std::string text(1 << 20, '\0');
    const ssize_t got = ::pread(memory_.get(), text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }
  bool Shows(const std::string& line) const {
    return World::Await([&] { return Text().find(line) != std::string::npos; });
  }

 private:
  UniqueFd memory_, before_;
};

TEST(Denials, AreLoggedWithBothEndsAndWhatRefused) {
  InWorld([] {
    const Log log;
    World world({.configure = [](ProxyConfig& config) {
      config.egress.deny = {*EgressRule::Parse("198.51.100.0/24:81")};
      config.connections = 1;
    }});
    const UniqueFd bound = world.Tenant(), server = world.Outside();
    Listen(server, At(kWorldIp, 8000));
    ASSERT_EQ(BindAt(bound, At(kTenantIp, 40000)), 0);
    EXPECT_EQ(ConnectTo(bound, At("10.0.0.1", 80)), EACCES);
    EXPECT_EQ(SendTo(world.Tenant(SOCK_DGRAM), At("169.254.169.254", 53), "x"), EACCES);
    EXPECT_EQ(BindAt(world.Tenant(), At("8.8.8.8", 80)), EADDRNOTAVAIL);
    EXPECT_EQ(ConnectTo(world.Tenant(), At(kWorldIp, 81)), EACCES);
    EXPECT_EQ(ConnectTo(world.Tenant(), At(kPeerIp, 80)), EHOSTUNREACH);
    const UniqueFd one = world.Tenant();
    EXPECT_EQ(ConnectTo(one, At(kWorldIp, 8000)), 0);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 1; }));
    EXPECT_EQ(ConnectTo(world.Tenant(), At(kWorldIp, 8000)), ECONNREFUSED);
    for (const char* line :
         {"denied tcp 203.0.113.7:40000 > 10.0.0.1:80: private\n",
          " > 169.254.169.254:53: link_local\n", "denied bind tcp 203.0.113.7 > 8.8.8.8:80: bind\n",
          "denied tcp 203.0.113.7 > 198.51.100.9:81: rule deny 198.51.100.0/24:81\n",
          " > 203.0.113.8:80: tenant\n", " > 198.51.100.9:8000: limit connections\n"})
      EXPECT_TRUE(log.Shows(line)) << line << log.Text();
  });
}

TEST(Denials, AreASampleAndStillAllCounted) {
  InWorld([] {
    const Log log;
    World world;
    constexpr int kMany = 2000;
    for (int i = 0; i < kMany; ++i) ConnectTo(world.Tenant(), At("10.0.0.1", 80));
    EXPECT_TRUE(log.Shows("more denials were not logged"));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedPrivate) == kMany; }));
    const std::string text = log.Text();
    size_t lines = 0;
    for (size_t at = text.find("denied tcp"); at != std::string::npos;
         at = text.find("denied tcp", at + 1))
      ++lines;
    EXPECT_GE(lines, 8u);
    EXPECT_LE(lines, 40u);
  });
}

}  // namespace
}  // namespace bailey::netproxy
