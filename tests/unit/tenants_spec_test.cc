// The spec in all its forms: what is read, what is refused, and what is said about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tenants/spec_json.h"
#include "tenants/spec_keys.h"
#include "tenants/spec_toml.h"

namespace bailey::tenants {
namespace {

using ::testing::HasSubstr;

constexpr const char* kWhole = R"([tenant]
name     = "acme"
ip       = "203.0.113.7"
template = "debian-12"
plan     = "small"
hostname = "www.acme.example"
[process]
start = ["/bin/sh", "/etc/rc"]
env = { LANG = "C.UTF-8" }
restart = "on-failure"
stop_timeout = "10s"
[limits]
cpu = 1.5
memory = "512M"
pids = 256
disk = "10G"
connections = 10000
connection_rate = 200
connection_rate_per_destination = 50
half_open = 64
udp_flows = 256
bandwidth_in = "100M"
bandwidth_out = "10M"
idle_timeout = "10m"
[network]
publish = [443, 80]
egress  = { default = "deny", allow = ["10.0.0.5:3306"], deny = ["*:25"] }
[[network.tls]]
certificate = "/etc/acme/fullchain.pem"
key = "/etc/acme/privkey.pem"
[[network.tls]]
port = 8443
certificate = "/etc/acme/other.pem"
key = "/etc/acme/other.key"
alpn = ["h2", "http/1.1"]
[allow]
set_hostname = true
raw_sockets = false
mount = false
mlock = true
)";

constexpr const char* kLeast = "[tenant]\nname='a'\nip='203.0.113.7'\ntemplate='t'\n";

TEST(SpecToml, ReadsEveryKey) {
  const auto spec = SpecFromToml(kWhole);
  ASSERT_TRUE(spec) << spec.error().Message();
  EXPECT_EQ(spec->name, "acme");
  EXPECT_EQ(spec->ip->ToString(), "203.0.113.7");
  EXPECT_EQ(spec->template_name, "debian-12");
  EXPECT_EQ(spec->hostname, "www.acme.example");
  EXPECT_EQ(spec->start, (std::vector<std::string>{"/bin/sh", "/etc/rc"}));
  EXPECT_EQ(spec->restart, supervisor::RestartPolicy::kOnFailure);
  EXPECT_EQ(spec->stop_timeout, std::chrono::seconds(10));
  EXPECT_EQ(spec->cpu, 1.5);
  EXPECT_EQ(spec->memory_bytes, 512U << 20);
  EXPECT_EQ(spec->destination_rate, 50U);
  EXPECT_EQ(spec->bandwidth_out, 10U << 20);
  EXPECT_EQ(spec->idle_timeout, std::chrono::minutes(10));
  EXPECT_EQ(spec->publish, (Publish{false, {80, 443}}));
  EXPECT_EQ(spec->tls,
            (std::vector<supervisor::TlsSite>{
                {443, "/etc/acme/fullchain.pem", "/etc/acme/privkey.pem", {"http/1.1"}},
                {8443, "/etc/acme/other.pem", "/etc/acme/other.key", {"h2", "http/1.1"}}}));
  EXPECT_EQ(spec->egress_allowed, false);
  EXPECT_EQ(spec->egress_deny->front().ToString(), "*:25");
  EXPECT_EQ(spec->allow_raw_sockets, false);
}

TEST(SpecJson, GoesThereAndBackUnchanged) {
  const auto spec = SpecFromToml(kWhole);
  ASSERT_TRUE(spec);
  const std::string text = boost::json::serialize(SpecToJson(*spec));
  const auto again = ParseSpecJson(text);
  ASSERT_TRUE(again) << again.error().Message();
  EXPECT_EQ(*again, *spec);
  // Every key of the table is in the sample.
  for (const SpecKey& key : SpecKeys()) EXPECT_FALSE(key.write(*spec).is_null()) << key.path;
}

TEST(SpecJson, KeepsWhatIsNotSetUnset) {
  const auto spec = SpecFromToml(kLeast);
  ASSERT_TRUE(spec) << spec.error().Message();
  EXPECT_EQ(boost::json::serialize(SpecToJson(*spec)),
            R"({"tenant":{"name":"a","ip":"203.0.113.7","template":"t"}})");
}

struct Refusal {
  const char* toml;
  const char* message;
  const char* hint;
};

TEST(SpecToml, RefusesWithPositionAndHint) {
  const std::vector<Refusal> table = {
      // Unknown keys, at the key.
      {"[limits]\nmemroy = '1G'", "2:1: limits.memroy: unknown key", "\"memory\""},
      {"[tennant]\nname = 'a'", "1:2: tennant: unknown key", "\"tenant\""},
      {"[tenant]\nmemory = '1G'", "2:1: tenant.memory", "limits.memory"},
      {"[network]\negress = { alow = [] }", "2:12: network.egress.alow", "\"allow\""},
      {"[allow]\nxyzzyxyzzy = true", "2:1", "there are: set_hostname"},
      // Names.
      {"[tenant]\nname = 'Acme'", "2:8: tenant.name: not a tenant name: \"Acme\"", "a-z"},
      {"[tenant]\nname = '../x'", "not a tenant name", "a-z"},
      {"[tenant]\nname = ''", "not a tenant name", "a-z"},
      {"[tenant]\nname = 'abcdefghijklmnopqrstuvwxyz0123456'", "not a tenant name", "32"},
      {"[tenant]\nname = 7", "tenant.name: not a text: 7", "quotes"},
      {"[tenant]\nhostname = '-a'", "not a host name", "letters"},
      {"[tenant]\ntemplate = '../../etc'", "not a template name", "a-z"},
      {"[tenant]\nplan = '/etc/passwd'", "not a plan's name", "a-z"},
      // Addresses.
      {"[tenant]\nip = '203.0.113'", "2:6: tenant.ip: not an IP address", "203.0.113.7"},
      {"[tenant]\nip = '203.0.113.7/24'", "not an IP address", "203.0.113.7"},
      {"[tenant]\nip = '0.0.0.0'", "not an address for a tenant", "host"},
      {"[tenant]\nip = '127.0.0.1'", "not an address for a tenant", "host"},
      {"[tenant]\nip = '::ffff:127.0.0.1'", "not an address for a tenant", "host"},
      {"[tenant]\nip = '169.254.169.254'", "not an address for a tenant", "host"},
      {"[tenant]\nip = '224.0.0.1'", "multicast", "host"},
      {"[tenant]\nip = 'fe80::1'", "link", "host"},
      {"[tenant]\nip = ['203.0.113.7', '203.0.113.8']", "not a text", ""},
      // Sizes, counts, durations.
      {"[limits]\nmemory = '512X'", "2:10: limits.memory: not a size: \"512X\"", "512M"},
      {"[limits]\nmemory = -1", "not a size: -1", "512M"},
      {"[limits]\nmemory = '4K'", "not enough memory", "1M"},
      {"[limits]\ncpu = 0", "not a number of cores", "1.5"},
      {"[limits]\ncpu = inf", "not a number of cores", "1.5"},
      {"[limits]\npids = 1.5", "not a count", "none"},
      {"[limits]\npids = 0", "not a count", "none"},
      {"[limits]\ndisk = '1M'", "2:8: limits.disk: not a size for a disk: \"1M\"", "16M"},
      {"[limits]\ndisk = 0", "not a size for a disk", "none"},
      {"[limits]\ndisk = '2000T'", "not a size for a disk", "1024T"},
      {"[process]\nstop_timeout = '10'", "not a duration", "10s"},
      {"[process]\nstop_timeout = '48h'", "longer than a day", ""},
      {"[process]\nstart = []", "not a command", "/bin/sh"},
      {"[process]\nstart = '/bin/sh'", "not a command", "/bin/sh"},
      {"[process]\nstart = [\"/bin/sh\\u0000x\"]", "not a text", "zero"},
      {"[process]\nrestart = 'maybe'", "not a restart policy", "on-failure"},
      {"[process]\nenv = { 'A=B' = 'x' }", "not a variable's name", ""},
      // Rules and ports.
      {"[network]\npublish = [0]", "not a port: 0", "65535"},
      {"[network]\npublish = [70000]", "not a port", "65535"},
      {"[network]\npublish = ['90-80']", "not a port", "53/udp"},
      {"[network]\npublish = ['53/sctp']", "not a port", "53/udp"},
      {"[[network.tls]]\ncertificate = '/a'", "certificate or key is missing", "privkey.pem"},
      {"[[network.tls]]\ncertificate = 'a'", "no absolute path", "PEM"},
      {"[[network.tls]]\nport = 0", "port is none", "65535"},
      {"[[network.tls]]\nalpn = []", "no list of protocols", "h2"},
      {"[[network.tls]]\nciphers = 'all'", "unknown key ciphers", "alpn"},
      {"[network]\ntls = 'yes'", "not a list of sites", "privkey.pem"},
      {"[network]\npublish = 'all'", "not what to publish", "listening"},
      {"[network]\negress = { deny = ['10.0.0.0/8:x'] }", "2:19: network.egress.deny", ""},
      {"[network.egress]\ndefault = 'maybe'", "2:11", "deny"},
      {"[network]\negress = 'allow'", "not a table", "[network.egress]"},
      {"[allow]\nmount = 'yes'", "not true or false", "quotes"},
      // TOML itself.
      {"[tenant]\nname = acme", "2:", "toml.io"},
      {"[tenant]\nname = 'a'\nname = 'b'", "3:", "toml.io"},
      // What must be there.
      {"[tenant]\nip='203.0.113.7'\ntemplate='t'", "1:2: tenant.name is missing", "acme"},
      {"[tenant]\nname='a'\ntemplate='t'", "tenant.ip is missing", "203.0.113.7"},
      {"[tenant]\nname='a'\nip='203.0.113.7'", "tenant.template is missing", "template ls"},
      {"", "tenant.name is missing", ""},
  };
  for (const Refusal& row : table) {
    const auto spec = SpecFromToml(row.toml);
    ASSERT_FALSE(spec) << row.toml;
    EXPECT_THAT(spec.error().Message(), HasSubstr(row.message)) << row.toml;
    EXPECT_THAT(spec.error().hint, HasSubstr(row.hint)) << row.toml;
  }
}

// Of these, some run into assertions of the parser's.
TEST(SpecToml, SurvivesWhatIsNoToml) {
  for (const char* text :
       {"[.]", "[[.]]", "[.a]", "[ . ]", "[", "[[", "a.", "a={.}", "\"", "\"\"\"", "a=[{", "\xff",
        "a=\x00", "[a]\n[.]", "a=1e", "a=0x", "a=1979-", "="})
    EXPECT_FALSE(SpecFromToml(text)) << text;
  EXPECT_FALSE(SpecFromToml("a=" + std::string(30'000, '[')));
}

TEST(SpecJson, RefusesWhatTomlWould) {
  for (const char* text : {
           R"({"tenant":{"name":"a","ip":"203.0.113.7","template":"t","x":1}})",
           R"({"tenant":{"name":"a","ip":"203.0.113.7","template":"../t"}})",
           R"({"tenant":[]})",
           R"({"tenant":{"name":"a"}})",
           R"([])",
           R"({"tenant.name":"a"})",
           R"({)",
       })
    EXPECT_FALSE(ParseSpecJson(text)) << text;
}

TEST(SpecIp, MappedAddressesAreTheirIpv4Address) {
  const auto spec = SpecFromToml("[tenant]\nname='a'\nip='::ffff:203.0.113.7'\ntemplate='t'");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->ip->ToString(), "203.0.113.7");
}

TEST(SetSpecKey, TakesTextAsPeopleWriteIt) {
  Spec spec = *SpecFromToml(kLeast);
  EXPECT_TRUE(SetSpecKeyText(spec, "limits.memory", "1G"));
  EXPECT_TRUE(SetSpecKeyText(spec, "limits.cpu", "0.5"));
  EXPECT_TRUE(SetSpecKeyText(spec, "limits.pids", "none"));
  EXPECT_TRUE(SetSpecKeyText(spec, "tenant.hostname", "123"));
  EXPECT_TRUE(SetSpecKeyText(spec, "network.publish", "[80]"));
  EXPECT_TRUE(SetSpecKeyText(spec, "network.egress.deny", R"(["*:25"])"));
  EXPECT_EQ(spec.memory_bytes, 1U << 30);
  EXPECT_EQ(spec.cpu, 0.5);
  EXPECT_EQ(spec.pids, 0U);
  EXPECT_EQ(spec.hostname, "123");
  EXPECT_EQ(spec.publish, (Publish{false, {80}}));
  EXPECT_EQ(spec.egress_deny->size(), 1U);
}

TEST(SetSpecKey, RefusesAndLeavesTheSpecAlone) {
  const Spec before = *SpecFromToml(kLeast);
  Spec spec = before;
  const auto size = SetSpecKeyText(spec, "limits.memory", "lots");
  ASSERT_FALSE(size);
  EXPECT_THAT(size.error().Message(), HasSubstr("limits.memory: not a size: \"lots\""));
  const auto unknown = SetSpecKeyText(spec, "limits.memry", "1G");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().hint, HasSubstr("memory"));
  EXPECT_FALSE(SetSpecKeyText(spec, "limits", "1G"));
  EXPECT_EQ(spec, before);
}

TEST(SetSpecKey, NullPutsTheDefaultBack) {
  Spec spec = *SpecFromToml(kLeast);
  ASSERT_TRUE(SetSpecKeyText(spec, "limits.pids", "7"));
  ASSERT_TRUE(SetSpecKeyText(spec, "limits.pids", "null"));
  EXPECT_FALSE(spec.pids.has_value());
}

TEST(Effective, TakesFromTheSpecThenThePlanThenTheDefaults) {
  Spec written = *SpecFromToml(kLeast);
  written.pids = 10;
  written.memory_bytes = 0;  // "none"
  const auto plan = PlanFromToml("[limits]\npids = 99\nmemory = '64M'\ncpu = 2\n");
  ASSERT_TRUE(plan) << plan.error().Message();
  const Spec spec = Effective(written, *plan);
  EXPECT_EQ(spec.pids, 10U);
  EXPECT_EQ(spec.memory_bytes, 0U);
  EXPECT_EQ(spec.cpu, 2);
  EXPECT_EQ(spec.connections, 0U);
  EXPECT_EQ(spec.hostname, "a");
  EXPECT_EQ(spec.allow_set_hostname, true);
  EXPECT_EQ(spec.allow_mount, false);
  // Nothing is left open.
  for (const SpecKey& key : SpecKeys())
    EXPECT_EQ(key.write(spec).is_null(), std::string(key.path) == "tenant.plan") << key.path;
}

TEST(Plan, HasNoTenant) {
  const auto plan = PlanFromToml("[tenant]\nname='a'");
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().Message(), HasSubstr("1:2"));
}

TEST(Errors, StayOneShortLineWhateverTheValue) {
  const std::string longtext = "[limits]\nmemory = [\"" + std::string(5000, 'x') + "\"]";
  const auto spec = SpecFromToml(longtext);
  ASSERT_FALSE(spec);
  EXPECT_LT(spec.error().Message().size(), 300U);
}

}  // namespace
}  // namespace bailey::tenants
