// bailey.toml, the paths, the plans and the host's resolv.conf.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "tenants/config.h"
#include "tenants/host_resolver.h"

namespace bailey::tenants {
namespace {

using ::testing::HasSubstr;

TEST(DaemonConfig, ReadsEveryKey) {
  const auto config = ParseDaemonConfig(
      "[daemon]\nmetrics = '[::1]:9100'\n[network]\ninterface = 'eth0'\n"
      "resolvers = ['192.0.2.53', '192.0.2.54:5353', '2001:db8::53']\n[ids]\nfirst = 2097152\n");
  ASSERT_TRUE(config) << config.error().Message();
  EXPECT_EQ(config->metrics->ToString(), "[::1]:9100");
  EXPECT_EQ(config->interface, "eth0");
  ASSERT_EQ(config->resolvers->size(), 3U);
  EXPECT_EQ((*config->resolvers)[0].ToString(), "192.0.2.53:53");
  EXPECT_EQ((*config->resolvers)[1].ToString(), "192.0.2.54:5353");
  EXPECT_EQ((*config->resolvers)[2].ToString(), "[2001:db8::53]:53");
  EXPECT_EQ(config->UidBase(2), 2097152U + 2 * 65536);
}

TEST(DaemonConfig, AMissingFileMeansTheDefaults) {
  Paths paths;
  paths.config = "/nonexistent/bailey.toml";
  const auto config = LoadDaemonConfig(paths);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->metrics->ToString(), "127.0.0.1:9748");
  EXPECT_FALSE(config->resolvers.has_value());
}

TEST(DaemonConfig, AnEmptyTextTurnsTheListenerOff) {
  const auto config = ParseDaemonConfig("[daemon]\nmetrics = ''");
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->metrics.has_value());
}

TEST(DaemonConfig, RefusesWithPosition) {
  for (const auto& [toml, message] : std::vector<std::pair<const char*, const char*>>{
           {"[daemon]\nmetric = ''", "2:1: unknown key daemon.metric"},
           {"[deamon]\nmetrics = ''", "unknown key deamon.metrics"},
           {"daemon = 1", "unknown key daemon"},
           {"[daemon]\nmetrics = 'here'", "2:11: daemon.metrics"},
           {"[daemon]\nmetrics = '127.0.0.1'", "not an address and port"},
           {"[daemon]\nmetrics = '127.0.0.0/8:80'", "not an address and port"},
           {"[daemon]\nmetrics = 9748", "not a text"},
           {"[network]\nresolvers = '192.0.2.53'", "not a list"},
           {"[network]\nresolvers = ['dns.example']", "not an address"},
           {"[network]\ninterface = 'eth 0'", "not an interface"},
           {"[ids]\nfirst = 0", "not a first id"},
           {"[ids]\nfirst = 65537", "not a first id"},
           {"[ids]\nfirst = 4294901760", "not a first id"},
       }) {
    const auto config = ParseDaemonConfig(toml);
    ASSERT_FALSE(config) << toml;
    EXPECT_THAT(config.error().Message(), HasSubstr(message));
    EXPECT_FALSE(config.error().hint.empty()) << toml;
  }
}

TEST(DaemonConfig, EverySlotsIdsFit) {
  DaemonConfig config;
  const uint64_t last = uint64_t{config.UidBase(config.Slots() - 1)} + kIdsPerTenant;
  EXPECT_LE(last, 0xffff0000U);
  EXPECT_GT(config.Slots(), 60'000U);
}

TEST(Paths, TheEnvironmentMovesThem) {
  ::setenv("BAILEY_RUNTIME_DIR", "/tmp/x//run/", 1);
  const auto paths = Paths::FromEnvironment();
  ::setenv("BAILEY_RUNTIME_DIR", "relative", 1);
  const auto relative = Paths::FromEnvironment();
  ::unsetenv("BAILEY_RUNTIME_DIR");
  ASSERT_TRUE(paths);
  EXPECT_EQ(paths->runtime, "/tmp/x/run");
  EXPECT_EQ(paths->state, "/var/lib/bailey");
  EXPECT_EQ(paths->Plans(), "/etc/bailey/plans.d");
  EXPECT_FALSE(relative);
}

TEST(Paths, EveryInstanceHasACgroupOfItsOwn) {
  Paths usual;
  Paths other;
  other.runtime = "/tmp/x/run";
  EXPECT_EQ(usual.Cgroup("acme"), "bailey/acme");
  EXPECT_THAT(other.Cgroup("acme"), ::testing::MatchesRegex("bailey-[0-9a-f]{8}/acme"));
}

TEST(Plans, FilesComeBeforeTheBuiltIn) {
  std::string dir = "/tmp/bailey-plans.XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  Paths paths;
  paths.config = dir + "/bailey.toml";
  ASSERT_TRUE(MakeDirectories(paths.Plans(), 0755));
  EXPECT_EQ(LoadPlan(paths, "small")->memory_bytes, 512U << 20);
  ASSERT_TRUE(ReplaceFile(paths.Plans() + "/small.toml", "[limits]\nmemory = '1G'\n", 0644));
  ASSERT_TRUE(ReplaceFile(paths.Plans() + "/bad.toml", "[limits]\nmemory = 'x'\n", 0644));
  EXPECT_EQ(LoadPlan(paths, "small")->memory_bytes, 1U << 30);
  const auto bad = LoadPlan(paths, "bad");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().Message(), HasSubstr("bad.toml: 2:10"));
  const auto missing = LoadPlan(paths, "huge");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, std::errc::no_such_file_or_directory);
  EXPECT_FALSE(LoadPlan(paths, "../small"));
  for (const char* name : {"small", "medium", "large"}) EXPECT_TRUE(LoadPlan(paths, name)) << name;
  std::filesystem::remove_all(dir);
}

TEST(HostResolver, ReadsServersAndSearch) {
  const HostResolver found = ParseResolvConf(
      "# comment\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver nonsense\n"
      "domain old.example\nsearch a.example  b.example bad;name\noptions ndots:2\n");
  ASSERT_EQ(found.servers.size(), 2U);
  EXPECT_EQ(found.servers[0].ToString(), "192.0.2.53:53");
  EXPECT_EQ(found.search, "a.example b.example");
}

}  // namespace
}  // namespace bailey::tenants
