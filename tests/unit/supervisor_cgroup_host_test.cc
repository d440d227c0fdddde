#include <gtest/gtest.h>

#include "supervisor/cgroup_host.h"

namespace bailey::supervisor {
namespace {

constexpr const char* kHybrid =
    "31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "32 25 0:28 / /my\\040memory rw shared:9 - cgroup cgroup rw,memory\n"
    "33 25 0:29 / /cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 25 0:30 / /pids rw - cgroup cgroup rw,pids\n";

TEST(CgroupHost, KnowsWhereControllersAre) {
  const auto host = CgroupHost::FromMountinfo(kHybrid);
  ASSERT_TRUE(host) << host.error().Message();
  EXPECT_EQ(host->Unified("a"), "/sys/fs/cgroup/unified/a");
  EXPECT_EQ(host->Of(Controller::kMemory, "a"), "/my memory/a");
  EXPECT_TRUE(host->IsV1(Controller::kCpu));
}

TEST(CgroupHost, ABackslashThatBeginsNoEscapeIsItself) {
  std::string table = kHybrid;
  for (const char* path : {"/my\\p40memory", "/my\\", "/my\\09", "/my\\ 40"}) {
    const size_t from = table.find("/my"), to = table.find(" rw shared");
    table.replace(from, to - from, path);
    (void)CgroupHost::FromMountinfo(table);  // threw once
  }
  table.replace(table.find("/my"), table.find(" rw shared") - table.find("/my"), "/my\\p40m");
  const auto host = CgroupHost::FromMountinfo(table);
  ASSERT_TRUE(host);
  EXPECT_EQ(host->Of(Controller::kMemory, "a"), "/my\\p40m/a");
}

}  // namespace
}  // namespace bailey::supervisor
