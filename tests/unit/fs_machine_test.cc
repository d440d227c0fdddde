// What the kernel says of a group, and what a tenant reads of it: tables.
#include <gmock/gmock.h>

#include "fs/machine_account.h"
#include "fs/machine_numbers.h"
#include "fs/machine_sources.h"
#include "fs/machine_texts.h"

namespace bailey::fs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(MachineNumbers, CpuLimitsOfBothVersions) {
  const struct {
    const char* text;
    std::optional<double> cores;
  } rows[] = {{"max 100000\n", std::nullopt}, {"50000 100000\n", 0.5}, {"150000 50000\n", 3.0},
              {"-1\n", std::nullopt},         {"150000\n", 1.5},       {"", std::nullopt},
              {"0 100000\n", std::nullopt},   {"x y\n", std::nullopt}};
  for (const auto& row : rows) EXPECT_EQ(CpuLimitOf(row.text), row.cores) << row.text;
}

TEST(MachineNumbers, ALimitRoundedUpIsWhatIsShown) {
  const struct {
    std::optional<double> limit;
    unsigned host, shown;
  } rows[] = {{std::nullopt, 8, 8}, {0.01, 8, 1}, {1.0, 8, 1},  {1.00001, 8, 1},
              {1.01, 8, 2},         {1.5, 1, 1},  {64.0, 8, 8}, {8.0, 8, 8},
              {7.5, 8, 8},          {2.0, 8, 2},  {1e9, 8, 8}};
  for (const auto& row : rows)
    EXPECT_EQ(ShownProcessors(row.limit, row.host), row.shown) << row.limit.value_or(-1);
}

TEST(MachineNumbers, ByteLimits) {
  EXPECT_EQ(ByteLimitOf("max\n"), std::nullopt);
  EXPECT_EQ(ByteLimitOf("9223372036854771712\n"), std::nullopt);
  EXPECT_EQ(ByteLimitOf("268435456\n"), 268435456U);
  EXPECT_EQ(ByteLimitOf("0\n"), 0U);
  EXPECT_EQ(ByteLimitOf(""), std::nullopt);
}

TEST(MachineNumbers, MemoryOfVersion2) {
  const MemoryParts parts = MemoryPartsOf(
      "anon 1000\nfile 2000\nkernel_stack 16\npagetables 32\nshmem 300\nfile_mapped 40\n"
      "file_dirty 50\nfile_writeback 60\ninactive_anon 70\nactive_anon 80\ninactive_file 90\n"
      "active_file 100\nunevictable 110\nslab_reclaimable 120\nslab_unreclaimable 130\n"
      "pgfault 140\npgmajfault 150\n");
  EXPECT_EQ(parts.anonymous, 1000U);
  EXPECT_EQ(parts.file, 2000U);
  EXPECT_EQ(parts.shared, 300U);
  EXPECT_EQ(parts.active_file, 100U);
  EXPECT_EQ(parts.slab_reclaimable, 120U);
  EXPECT_EQ(parts.page_tables, 32U);
  EXPECT_EQ(parts.major_faults, 150U);
}

TEST(MachineNumbers, MemoryOfVersion1IsThatOfTheSubtree) {
  const MemoryParts parts = MemoryPartsOf(
      "cache 1\nrss 2\nswap 3\nactive_file 4\ntotal_cache 2000\ntotal_rss 1000\n"
      "total_shmem 300\ntotal_swap 17\ntotal_inactive_file 90\ntotal_active_file 100\n");
  EXPECT_EQ(parts.anonymous, 1000U);
  EXPECT_EQ(parts.file, 2000U);
  EXPECT_EQ(parts.active_file, 100U);
  EXPECT_EQ(parts.swap, 17U);
}

TEST(MachineNumbers, DevicesOfIoStat) {
  const auto devices = DeviceIoOf(
      "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=512 dios=3\n259:12 rbytes=5\nnone x=1\n");
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].major, 8U);
  EXPECT_EQ(devices[0].read_bytes, 4096U);
  EXPECT_EQ(devices[0].writes, 2U);
  EXPECT_EQ(devices[0].discarded_bytes, 512U);
  EXPECT_EQ(devices[1].minor, 12U);
  const std::string_view host = "   7       0 loop0 1 2\n 259      12 nvme0n1p2 3 4\n";
  EXPECT_EQ(DeviceNameOf(host, 259, 12), "nvme0n1p2");
  EXPECT_EQ(DeviceNameOf(host, 25, 912), "");
}

TEST(MachineSources, NamesAreKnown) {
  EXPECT_EQ(MachineSourceOf("cpu.limit"), MachineSource::kCpuLimit);
  EXPECT_EQ(MachineSourceOf("memory.stat"), MachineSource::kMemoryStat);
  EXPECT_EQ(MachineSourceOf("host.disks"), MachineSource::kHostDisks);
  EXPECT_EQ(MachineSourceOf("memory"), std::nullopt);
}

constexpr uint64_t kSecond = 1'000'000;

TEST(CpuAccount, WhatIsNotUsedIsIdleAndWhatIsHeldBackIsStolen) {
  CpuAccount account;
  account.Advance({.at = 10 * kSecond, .processors = 2, .user = 3 * kSecond, .system = kSecond});
  EXPECT_EQ(account.user(), 3 * kSecond);
  EXPECT_EQ(account.idle(), 16 * kSecond);
  // Half a processor's limit: a second used and a second held back in two.
  account.Advance({.at = 12 * kSecond,
                   .processors = 2,
                   .user = 4 * kSecond,
                   .system = kSecond,
                   .throttled = kSecond});
  EXPECT_EQ(account.idle(), 18 * kSecond);
  EXPECT_EQ(account.stolen(), kSecond);
}

TEST(CpuAccount, NothingEverShrinks) {
  CpuAccount account;
  account.Advance({.at = 10 * kSecond, .processors = 4, .user = kSecond});
  const uint64_t idle = account.idle();
  // Fewer processors, more throttling than there was time, more use than processors, time that
  // stands still, counters that went back.
  account.Advance(
      {.at = 11 * kSecond, .processors = 1, .user = kSecond, .throttled = 90 * kSecond});
  EXPECT_EQ(account.idle(), idle);
  EXPECT_EQ(account.stolen(), 4 * kSecond);
  account.Advance({.at = 12 * kSecond, .processors = 1, .user = 9 * kSecond});
  account.Advance({.at = 5 * kSecond, .processors = 1, .user = 0});
  EXPECT_EQ(account.idle(), idle);
  EXPECT_EQ(account.stolen(), 4 * kSecond);
  EXPECT_EQ(account.user(), 9 * kSecond);
}

MemoryPicture Picture() {
  MemoryPicture memory;
  memory.total = 256 << 20;
  memory.used = 100 << 20;
  memory.parts.file = 60 << 20;
  memory.parts.active_file = 20 << 20;
  memory.parts.inactive_file = 30 << 20;
  return memory;
}

TEST(MachineTexts, Meminfo) {
  const std::string text = MeminfoText(Picture());
  EXPECT_THAT(text, StartsWith("MemTotal:         262144 kB\nMemFree:          159744 kB\n"
                               "MemAvailable:     210944 kB\n"));
  EXPECT_THAT(text, HasSubstr("\nCached:            61440 kB\n"));
  EXPECT_THAT(text, HasSubstr("\nSwapTotal:             0 kB\n"));
}

TEST(MachineTexts, MemoryAboveItsLimitIsNoneLeft) {
  MemoryPicture memory = Picture();
  memory.used = memory.total + 1;
  memory.parts.active_file = memory.total * 2;
  EXPECT_EQ(memory.free(), 0U);
  EXPECT_EQ(memory.available(), memory.total);
  EXPECT_EQ(ShownMemory(std::nullopt, 5), 5U);
  EXPECT_EQ(ShownMemory(7, 5), 5U);
  EXPECT_EQ(ShownMemory(3, 5), 3U);
}

TEST(MachineTexts, SwapOnlyWhereThereIsSome) {
  MemoryPicture memory = Picture();
  EXPECT_EQ(SwapsText(memory), "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
  memory.swap_total = 1 << 20;
  memory.swap_used = 3 << 20;
  EXPECT_THAT(SwapsText(memory), HasSubstr("virtual\t\t1024\t\t1024\t\t-1\n"));
}

TEST(MachineTexts, StatSharesProcessorsOut) {
  MachinePicture machine;
  machine.processors = 2;
  machine.user = 4 * kSecond;
  machine.system = 2 * kSecond;
  machine.idle = 10 * kSecond;
  machine.stolen = kSecond;
  machine.started_at = 1'700'000'000;
  machine.tasks = 7;
  const std::string text = StatText(machine);
  EXPECT_THAT(text, StartsWith("cpu  400 0 200 1000 0 0 0 100 0 0\n"
                               "cpu0 200 0 100 500 0 0 0 50 0 0\n"
                               "cpu1 200 0 100 500 0 0 0 50 0 0\nintr 0\n"));
  EXPECT_THAT(text, HasSubstr("\nbtime 1700000000\nprocesses 7\nprocs_running 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("cpu2")));
}

TEST(MachineTexts, UptimeLoadAndDisks) {
  MachinePicture machine;
  machine.up = 3'661'070'000;
  machine.idle = 59'999'000;
  EXPECT_EQ(UptimeText(machine), "3661.07 59.99\n");
  EXPECT_EQ(LoadavgText(LoadAverages(), 5), "0.00 0.00 0.00 1/5 5\n");
  EXPECT_EQ(LoadavgText(LoadAverages(), 0), "0.00 0.00 0.00 1/1 1\n");
  DeviceIo io;
  io.major = 8;
  io.reads = 3;
  io.read_bytes = 4096;
  io.writes = 2;
  io.written_bytes = 1024;
  EXPECT_EQ(DiskstatsText({{io, "sda"}}), "   8       0 sda 3 0 8 0 2 0 2 0 0 0 0 0 0 0 0 0 0\n");
  EXPECT_EQ(DiskstatsText({}), "");
}

TEST(MachineTexts, CpuinfoHasTheFirstBlocksRenumbered) {
  const std::string host =
      "processor\t: 4\nmodel name\t: A\n\nprocessor\t: 5\nmodel name\t: B\n\n"
      "processor\t: 6\nmodel name\t: C\n\n";
  EXPECT_EQ(CpuinfoText(host, 2),
            "processor\t: 0\nmodel name\t: A\n\nprocessor\t: 1\nmodel name\t: B\n\n");
  EXPECT_EQ(CpuinfoText(host, 9).size(), host.size());
  EXPECT_EQ(CpuinfoText("cut", 2), "");
  EXPECT_EQ(CpuinfoText("processor\t: 0", 1), "processor\t: 0\n\n");
}

TEST(MachineTexts, OnlineIsAList) {
  EXPECT_EQ(OnlineText(1), "0\n");
  EXPECT_EQ(OnlineText(4), "0-3\n");
}

}  // namespace
}  // namespace bailey::fs
