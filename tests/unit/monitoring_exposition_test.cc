#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "monitoring/exposition.h"

namespace bailey::monitoring {
namespace {

using ::testing::Contains;
using ::testing::Key;
using ::testing::Not;

// "name{labels}" → value, as text.
std::map<std::string, std::string> Series(const std::string& page) {
  std::map<std::string, std::string> series;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    const bool fresh = series.emplace(line.substr(0, space), line.substr(space + 1)).second;
    EXPECT_TRUE(fresh) << "twice: " << line;
  }
  return series;
}

// Every counter of `values` gets a number of its own, so that no series can take another's.
template <class Counter>
CounterValues<Counter> Distinct(uint64_t from) {
  CounterValues<Counter> values;
  for (size_t i = 0; i < CounterPage<Counter>::kSize; ++i) {
    values[static_cast<Counter>(i)] = from + i;
  }
  return values;
}

TenantSample FullTenant(const std::string& name) {
  TenantSample tenant;
  tenant.name = name;
  tenant.ip = "127.77.0.2";
  tenant.template_name = "busybox";
  tenant.plan = "small";
  tenant.state = TenantState::kRunning;
  tenant.state_since = 1'700'000'000.5;
  tenant.started_at = 1'700'000'000;
  tenant.starts = 3;
  tenant.limits = {1.5, 1024, 256, 10'000, 4096};
  tenant.cgroup = CgroupSample{10.5, 7.25, 3.25, 0.5, 4, 100, 60, 5, 2, 9, 11, 300};
  tenant.fs = Distinct<FsCounter>(1000);
  tenant.net = Distinct<NetCounter>(2000);
  tenant.supervisor = Distinct<SupervisorCounter>(3000);
  tenant.tls = Distinct<TlsCounter>(4000);
  return tenant;
}

FleetSample FullFleet() {
  FleetSample fleet;
  fleet.daemon = {"0.1.0", 1'700'000'000, 1.5, 4096, 12, 7, 0.25};
  fleet.tenants = {FullTenant("alice"), FullTenant("bob")};
  return fleet;
}

TEST(FormatFleet, ShowsEveryCounterUnderItsOwnName) {
  const auto series = Series(FormatFleet(FullFleet()));
  const auto value = [&](const std::string& name, const std::string& more = "") {
    const auto it = series.find("bailey_tenant_" + name + "{tenant=\"alice\"" +
                                (more.empty() ? "" : "," + more) + "}");
    return it == series.end() ? "absent: " + name + more : it->second;
  };
  const auto fs = [](FsCounter c) { return std::to_string(1000 + static_cast<int>(c)); };
  const auto net = [](NetCounter c) { return std::to_string(2000 + static_cast<int>(c)); };
  const auto sup = [](SupervisorCounter c) { return std::to_string(3000 + static_cast<int>(c)); };

  EXPECT_EQ(value("fs_requests_total"), fs(FsCounter::kRequests));
  EXPECT_EQ(value("fs_operations_total", "kind=\"lookup\""), fs(FsCounter::kLookups));
  EXPECT_EQ(value("fs_operations_total", "kind=\"mutation\""), fs(FsCounter::kMutations));
  EXPECT_EQ(value("fs_operations_total", "kind=\"setattr\""), fs(FsCounter::kSetattrs));
  EXPECT_EQ(value("fs_errors_total"), fs(FsCounter::kErrors));
  EXPECT_EQ(value("fs_denied_total"), fs(FsCounter::kDenied));
  EXPECT_EQ(value("fs_copy_ups_total"), fs(FsCounter::kCopyUps));
  EXPECT_EQ(value("fs_copy_up_bytes_total"), fs(FsCounter::kCopyUpBytes));
  EXPECT_EQ(value("fs_passthrough_opens_total"), fs(FsCounter::kPassthroughOpens));
  EXPECT_EQ(value("fs_open_files"), fs(FsCounter::kOpenFiles));
  EXPECT_EQ(value("fs_nodes"), fs(FsCounter::kNodes));

  EXPECT_EQ(value("net_connections_total", "direction=\"in\""), net(NetCounter::kConnectionsIn));
  EXPECT_EQ(value("net_connections_total", "direction=\"out\""), net(NetCounter::kConnectionsOut));
  EXPECT_EQ(value("net_bytes_total", "direction=\"in\""), net(NetCounter::kBytesIn));
  EXPECT_EQ(value("net_bytes_total", "direction=\"out\""), net(NetCounter::kBytesOut));
  EXPECT_EQ(value("net_datagrams_total", "direction=\"out\""), net(NetCounter::kDatagramsOut));
  EXPECT_EQ(value("net_dns_queries_total"), net(NetCounter::kDnsQueries));
  EXPECT_EQ(value("net_refused_total", "reason=\"host\""), net(NetCounter::kDeniedHost));
  EXPECT_EQ(value("net_refused_total", "reason=\"bind\""), net(NetCounter::kDeniedBind));
  EXPECT_EQ(value("net_upstream_failures_total", "reason=\"timed_out\""),
            net(NetCounter::kTimedOutUpstream));
  EXPECT_EQ(value("source_violations_total"),
            std::to_string(2000 + static_cast<int>(NetCounter::kSourceViolations) + 3000 +
                           static_cast<int>(SupervisorCounter::kSourceViolations)));
  EXPECT_EQ(value("net_open_connections"), net(NetCounter::kOpenConnections));
  EXPECT_EQ(value("net_published_ports"), net(NetCounter::kPublishedPorts));

  EXPECT_EQ(value("tls_handshakes_total", "outcome=\"resumed\""), "4001");
  EXPECT_EQ(value("tls_handshakes_total", "outcome=\"failed\""), "4002");
  EXPECT_EQ(value("tls_open_connections"), "4003");
  EXPECT_EQ(value("tls_refused_certificates_total"), "4004");
  EXPECT_EQ(value("tls_certificates"), "4005");
  EXPECT_EQ(value("tls_certificate_expiry_time_seconds"), "4006");

  EXPECT_EQ(value("restarts_total"), sup(SupervisorCounter::kRestarts));
  EXPECT_EQ(value("execs_total"), sup(SupervisorCounter::kExecs));
  EXPECT_EQ(value("exits_total", "reason=\"oom\""), sup(SupervisorCounter::kExitsOom));
  EXPECT_EQ(value("exits_total", "reason=\"seccomp\""), sup(SupervisorCounter::kExitsSeccomp));
  EXPECT_EQ(value("server_restarts_total", "server=\"fs\""), sup(SupervisorCounter::kFsRestarts));
  EXPECT_EQ(value("start_duration_seconds"), "0.003013");  // 3013 µs
}

TEST(FormatFleet, ShowsUsageBesideItsLimit) {
  const auto series = Series(FormatFleet(FullFleet()));
  const auto value = [&](const std::string& name) {
    const auto it = series.find("bailey_tenant_" + name + "{tenant=\"bob\"}");
    return it == series.end() ? "absent: " + name : it->second;
  };
  EXPECT_EQ(value("cpu_seconds_total"), "10.5");
  EXPECT_EQ(value("cpu_limit_cores"), "1.5");
  EXPECT_EQ(value("cpu_throttled_seconds_total"), "0.5");
  EXPECT_EQ(value("memory_usage_bytes"), "100");
  EXPECT_EQ(value("memory_limit_bytes"), "1024");
  EXPECT_EQ(value("oom_kills_total"), "2");
  EXPECT_EQ(value("tasks"), "9");
  EXPECT_EQ(value("tasks_limit"), "256");
  EXPECT_EQ(value("forks_refused_total"), "11");
  EXPECT_EQ(value("servers_memory_bytes"), "300");
}

TEST(FormatFleet, SumsDenialsByLayer) {
  FleetSample fleet;
  TenantSample& tenant = fleet.tenants.emplace_back();
  tenant.name = "alice";
  tenant.supervisor.emplace()[SupervisorCounter::kDeniedCapability] = 2;
  (*tenant.supervisor)[SupervisorCounter::kDeniedCgroup] = 3;
  tenant.cgroup.emplace().pids_limit_hits = 4;
  // The places of the proxy's denials in the enum: a reason that is added later must join the sum.
  CounterValues<NetCounter>& net = tenant.net.emplace();
  uint64_t denied = 0;
  for (auto i = static_cast<size_t>(NetCounter::kDeniedHost);
       i <= static_cast<size_t>(NetCounter::kDeniedBind); ++i) {
    denied += net[static_cast<NetCounter>(i)] = i;
  }
  net[NetCounter::kRefusedUpstream] = 1'000'000;  // The peer's refusal is no wall.
  const auto series = Series(FormatFleet(fleet));
  const std::string name = "bailey_tenant_denials_total{tenant=\"alice\",layer=";
  EXPECT_EQ(series.at(name + "\"cap\"}"), "2");
  EXPECT_EQ(series.at(name + "\"cgroup\"}"), "7");
  EXPECT_EQ(series.at(name + "\"net\"}"), std::to_string(denied));
  EXPECT_THAT(series, Not(Contains(Key(name + "\"fs\"}")))) << "not known, so not shown";
}

TEST(FormatFleet, ShowsExactlyOneState) {
  FleetSample fleet = FullFleet();
  fleet.tenants[1].state = TenantState::kFailed;
  const auto series = Series(FormatFleet(fleet));
  const std::string bob = "bailey_tenant_state{tenant=\"bob\",state=";
  int holding = 0;
  for (size_t i = 0; i < kTenantStates; ++i) {
    const std::string state = StateName(static_cast<TenantState>(i));
    holding += series.at(std::string(bob).append("\"").append(state).append("\"}")) == "1" ? 1 : 0;
  }
  EXPECT_EQ(holding, 1);
  EXPECT_EQ(series.at(bob + "\"failed\"}"), "1");
  EXPECT_EQ(series.at("bailey_tenants{state=\"running\"}"), "1");
  EXPECT_EQ(series.at("bailey_tenants{state=\"failed\"}"), "1");
  EXPECT_EQ(series.at("bailey_tenants{state=\"defined\"}"), "0");
}

TEST(FormatFleet, LeavesOutWhatIsNotKnown) {
  FleetSample fleet;
  fleet.tenants.emplace_back().name = "idle";
  const auto series = Series(FormatFleet(fleet));
  for (const auto& [name, value] : series) {
    for (const char* part : {"_fs_", "_net_", "memory", "cpu_seconds_total{t", "limit", "exits"}) {
      EXPECT_EQ(name.find("bailey_tenant_" + std::string(part)), std::string::npos) << name;
    }
  }
  EXPECT_THAT(series, Contains(Key("bailey_tenant_starts_total{tenant=\"idle\"}")));
}

TEST(FormatFleet, EscapesLabels) {
  FleetSample fleet;
  fleet.tenants.emplace_back().name = "a\"b\\c\nd";
  EXPECT_THAT(Series(FormatFleet(fleet)),
              Contains(Key("bailey_tenant_starts_total{tenant=\"a\\\"b\\\\c\\nd\"}")));
}

TEST(FormatFleet, KeepsLargeCountersExact) {
  FleetSample fleet;
  fleet.tenants.emplace_back().name = "big";
  fleet.tenants[0].net.emplace()[NetCounter::kBytesIn] = (1ULL << 53) - 1;
  EXPECT_EQ(Series(FormatFleet(fleet))
                .at("bailey_tenant_net_bytes_total{tenant=\"big\",direction=\"in\"}"),
            "9007199254740991");
}

TEST(FormatFleet, PleasesPromtool) {
  FILE* promtool = ::popen("promtool check metrics 2>&1 >/dev/null", "we");  // Complaints are seen.
  ASSERT_NE(promtool, nullptr);
  const std::string page = FormatFleet(FullFleet());
  EXPECT_EQ(std::fwrite(page.data(), 1, page.size(), promtool), page.size());
  EXPECT_EQ(::pclose(promtool), 0);
}

// "name" → "type", from the page and from the tables of docs/METRICS.md.
TEST(Metrics, AreAllDocumented) {
  std::map<std::string, std::string> on_page;
  std::istringstream lines(FormatFleet(FullFleet()));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("# TYPE ")) continue;
    std::string hash, type, name, kind;
    std::istringstream(line) >> hash >> type >> name >> kind;
    EXPECT_TRUE(on_page.emplace(name, kind).second) << "two families " << name;
  }
  std::ifstream document(BAILEY_SOURCE_DIR "/docs/METRICS.md");
  ASSERT_TRUE(document.is_open());
  std::map<std::string, std::string> in_document;
  for (std::string line; std::getline(document, line);) {  // | `name` | counter | …
    std::string bar, name, second_bar, kind;
    std::istringstream(line) >> bar >> name >> second_bar >> kind;
    if (name.size() > 2 && name.front() == '`' && (kind == "counter" || kind == "gauge"))
      in_document.emplace(name.substr(1, name.size() - 2), kind);
  }
  EXPECT_GT(on_page.size(), 40U);
  EXPECT_EQ(on_page, in_document);
}

}  // namespace
}  // namespace bailey::monitoring
