#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/counters.h"

namespace bailey {
namespace {

TEST(Counters, AReaderSeesWhatTheWriterCounts) {
  const auto memory = MakeCounterMemory("test");
  ASSERT_TRUE(memory);
  const auto writer = CounterMapping<FsCounter>::Map(memory->get(), true);
  const auto reader = CounterMapping<FsCounter>::Map(memory->get(), false);
  ASSERT_TRUE(writer && reader);
  (*writer)->Add(FsCounter::kLookups, 3);
  (*writer)->Subtract(FsCounter::kLookups);
  (*writer)->Set(FsCounter::kNodes, 7);
  EXPECT_EQ((*reader)->Get(FsCounter::kLookups), 2U);
  EXPECT_EQ((*reader)->Get(FsCounter::kNodes), 7U);
}

TEST(Counters, ThePageCannotShrinkUnderItsReader) {
  const auto memory = MakeCounterMemory("test");
  EXPECT_NE(::ftruncate(memory->get(), 0), 0);
  const UniqueFd unsealed(::memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(unsealed.get(), 4096), 0);
  EXPECT_FALSE(CounterMapping<FsCounter>::Map(unsealed.get(), false));
}

}  // namespace
}  // namespace bailey
