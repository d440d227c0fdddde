#include <gtest/gtest.h>

#include "supervisor/tenant_sysinfo.h"

namespace bailey::supervisor {
namespace {

constexpr uint64_t kMib = 1 << 20;

struct sysinfo Host() {
  struct sysinfo host {};
  host.mem_unit = 4096;
  host.totalram = 1024 * kMib / 4096;
  host.freeram = 1;
  host.totalswap = 64 * kMib / 4096;
  host.procs = 4711;
  host.loads[0] = 99 << SI_LOAD_SHIFT;
  return host;
}

TEST(TenantSysinfo, TellsTheTenantsOwn) {
  LoadAverages load;
  load.Advance({.at = 3'600'000'000, .running = 1'800'000'000});
  const CgroupNow now{.memory_bytes = 100 * kMib, .tasks = 7};
  const struct sysinfo told = SysinfoOf(Host(), 256 * kMib, now, std::chrono::seconds(90), load);
  EXPECT_EQ(told.mem_unit, 1U);
  EXPECT_EQ(told.totalram, 256 * kMib);
  EXPECT_EQ(told.freeram, 156 * kMib);
  EXPECT_EQ(told.totalswap, 0U);
  EXPECT_EQ(told.uptime, 90);
  EXPECT_EQ(told.procs, 7);
  EXPECT_EQ(told.loads[0], 1U << (SI_LOAD_SHIFT - 1));
}

TEST(TenantSysinfo, WithoutALimitTheMemoryIsTheHosts) {
  const CgroupNow now{.memory_bytes = 2048 * kMib, .tasks = 1 << 20};
  const struct sysinfo told = SysinfoOf(Host(), 0, now, std::chrono::seconds(0), {});
  EXPECT_EQ(told.totalram, 1024 * kMib);
  EXPECT_EQ(told.freeram, 0U);
  EXPECT_EQ(told.totalswap, 64 * kMib);
  EXPECT_EQ(told.procs, 65535);
  EXPECT_EQ(SysinfoOf(Host(), 4096 * kMib, now, std::chrono::seconds(0), {}).totalram, 1024 * kMib);
}

}  // namespace
}  // namespace bailey::supervisor
