// How long a page takes: 1,000 tenants, every series present. Prints; asserts nothing.
//   build/release/bin/bench_scrape [TENANTS] [ROUNDS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "monitoring/exposition.h"

namespace {

using namespace bailey::monitoring;

FleetSample MakeFleet(int tenants) {
  FleetSample fleet;
  fleet.daemon.version = "bench";
  for (int i = 0; i < tenants; ++i) {
    TenantSample tenant;
    tenant.name = "tenant-" + std::to_string(i);
    tenant.ip = "10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256);
    tenant.template_name = "debian-12";
    tenant.plan = "small";
    tenant.state = TenantState::kRunning;
    tenant.state_since = tenant.started_at = 1.79e9 + i;
    tenant.limits = {1.5, 512U << 20, 256, 10'000, 10ULL << 30};
    tenant.cgroup.emplace().cpu_seconds = 1234.5678 * i;
    tenant.cgroup->memory_bytes = 123'456'789U + static_cast<unsigned>(i);
    tenant.fs.emplace()[bailey::FsCounter::kRequests] = 987'654'321U;
    tenant.net.emplace()[bailey::NetCounter::kBytesOut] = 123'456'789'012U;
    tenant.supervisor.emplace()[bailey::SupervisorCounter::kStartMicroseconds] = 5'678U;
    fleet.tenants.push_back(std::move(tenant));
  }
  return fleet;
}

}  // namespace

int main(int argc, char** argv) {
  const int tenants = argc > 1 ? std::atoi(argv[1]) : 1000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 10;
  const FleetSample fleet = MakeFleet(tenants);
  double best = 1e9;
  double worst = 0;
  size_t bytes = 0;
  int64_t lines = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const std::string page = FormatFleet(fleet);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
    worst = std::max(worst, took.count());
    bytes = page.size();
    lines = std::ranges::count(page, '\n');
  }
  std::printf("%d tenants, %lld lines, %.1f MB: best %.1f ms, worst %.1f ms of %d pages\n", tenants,
              static_cast<long long>(lines), static_cast<double>(bytes) / 1e6, best, worst, rounds);
  return 0;
}
