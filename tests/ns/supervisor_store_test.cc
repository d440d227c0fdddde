// The disk image of a limited tenant: locked while mounted, read from its superblock, grown in
// steps of which each may be the last, mounted as little as possible.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "base/capabilities.h"
#include "base/files.h"
#include "supervisor/disk_image.h"
#include "supervisor/image_mount.h"
#include "supervisor/image_tools.h"
#include "supervisor/store_preparation.h"
#include "supervisor/tenant_store.h"

namespace bailey::supervisor {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
constexpr uint64_t kSize = uint64_t{32} << 20;
constexpr milliseconds kShort{50};

class Store : public testing::Test {
 protected:
  Store() {
    char place[] = "/var/tmp/bailey-store-XXXXXX";
    directory_ = ::mkdtemp(place);
    layers_.upper = directory_ + "/upper";
    layers_.work = directory_ + "/work";
    layers_.image = directory_ + "/disk.img";
  }
  ~Store() override { fs::remove_all(directory_); }

  TenantStore Open(uint64_t limit = kSize) {
    auto store = TenantStore::Open(layers_, limit);
    EXPECT_TRUE(store) << store.error().Message();
    return std::move(*store);
  }
  void Prepare(uint64_t limit = kSize) {
    const Status prepared = PrepareStore(layers_, limit);
    ASSERT_TRUE(prepared) << prepared.error().Message();
    EXPECT_FALSE(NeedsPreparation(layers_.image, limit));
  }
  static bool MayGrow() {
    CapabilitySets held;
    return ReadCapabilities(&held) == 0 && (held.effective & CapabilityBit(CAP_SYS_RESOURCE)) != 0;
  }

  std::string directory_;
  Layers layers_;
};

TEST_F(Store, IsADirectoryWithoutALimit) {
  fs::create_directories(layers_.upper);
  fs::create_directories(layers_.work);
  EXPECT_FALSE(NeedsPreparation(layers_.image, 0));
  const TenantStore store = Open(0);
  EXPECT_EQ(store.bytes(), 0U);
  EXPECT_FALSE(store.Usage());
  EXPECT_TRUE(store.SetLimit(kSize));  // holds from the next start
  EXPECT_FALSE(fs::exists(layers_.image));
}

TEST_F(Store, DoesNotOpenWithoutTheLimitThatIsAskedFor) {
  fs::create_directories(layers_.upper);
  fs::create_directories(layers_.work);
  EXPECT_TRUE(NeedsPreparation(layers_.image, kSize));
  EXPECT_EQ(TenantStore::Open(layers_, kSize).error().Errno(), ENOENT);
  Prepare();
  EXPECT_TRUE(NeedsPreparation(layers_.image, 2 * kSize));
  EXPECT_EQ(TenantStore::Open(layers_, 2 * kSize).error().Errno(), ERANGE);
}

TEST_F(Store, IsMountedWhereNobodySeesIt) {
  Prepare();
  const auto mounts = *ReadFile("/proc/self/mountinfo", 16 << 20);
  const TenantStore store = Open();
  EXPECT_EQ(*ReadFile("/proc/self/mountinfo", 16 << 20), mounts);
  struct statvfs seen {};
  ASSERT_EQ(::fstatvfs(store.upper(), &seen), 0);
  constexpr unsigned long kFlags = ST_NOSUID | ST_NODEV | ST_NOEXEC;
  EXPECT_EQ(seen.f_flag & kFlags, kFlags);
  EXPECT_EQ(seen.f_bfree - seen.f_bavail, kSize / kImageBlock / 50);  // ext4's own, none for root
  // One mount: or renames between the two would fail.
  ASSERT_EQ(::mkdirat(store.work(), "x", 0700), 0);
  EXPECT_EQ(::renameat(store.work(), "x", store.upper(), "x"), 0);
}

TEST_F(Store, CountsWhatIsNotFreeAsUsed) {
  Prepare();
  const TenantStore store = Open();
  const auto before = store.Usage();
  ASSERT_TRUE(before);
  EXPECT_EQ(before->bytes, kSize);
  EXPECT_GT(before->used_bytes, uint64_t{4} << 20);  // the journal counts
  EXPECT_EQ(before->inodes, kSize / 4096);
  const UniqueFd file(::openat(store.upper(), "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_EQ(::fallocate(file.get(), 0, 0, 8 << 20), 0);
  const auto after = store.Usage();
  EXPECT_GE(after->used_bytes, before->used_bytes + (8 << 20));
  EXPECT_EQ(after->used_inodes, before->used_inodes + 1);
}

TEST_F(Store, CannotBeOpenedTwice) {
  Prepare();
  UniqueFd held;
  {
    const TenantStore store = Open();
    held.Reset(::openat(store.upper(), ".", O_RDONLY | O_CLOEXEC));
  }
  // Its supervisor has gone, somebody else still is in it: the loop device holds the lock.
  EXPECT_EQ(AwaitStoreFree(layers_, kShort).error().Errno(), EBUSY);
  EXPECT_EQ(DiskImage::Open(layers_.image, kShort).error().Errno(), EBUSY);
  held.Reset();
  EXPECT_TRUE(AwaitStoreFree(layers_, kAwaitImage));
  Open();
}

TEST_F(Store, GrowsWhereTheKernelLetsUs) {
  Prepare();
  const TenantStore store = Open();
  const uint64_t before = store.Usage()->inodes;
  const Status grown = store.SetLimit(8 * kSize);  // into a second block group
  if (MayGrow()) {
    EXPECT_TRUE(grown) << grown.error().Message();
    EXPECT_EQ(store.bytes(), 8 * kSize);
    EXPECT_GT(store.Usage()->inodes, before);
  } else {
    EXPECT_EQ(grown.error().Errno(), EPERM);
    EXPECT_THAT(grown.error().hint, testing::HasSubstr("CAP_SYS_RESOURCE"));
    EXPECT_EQ(store.bytes(), kSize);  // as it was
  }
  EXPECT_EQ(store.SetLimit(kSize / 2).error().Errno(), ERANGE);
  EXPECT_TRUE(store.SetLimit(0));  // no limit takes none away
}

TEST_F(Store, CompletesAGrowthAndRefusesToShrink) {
  Prepare();
  for (const uint64_t cut_short : {2 * kSize + kImageBlock, 2 * kSize + kImageBlock}) {
    fs::resize_file(layers_.image, cut_short);
    EXPECT_TRUE(NeedsPreparation(layers_.image, 2 * kSize));
    Prepare(2 * kSize);
    EXPECT_EQ(fs::file_size(layers_.image), 2 * kSize);
    EXPECT_EQ((*LookAtImage(layers_.image))->fs_bytes, 2 * kSize);
  }
  const Status shrunk = PrepareStore(layers_, kSize);
  ASSERT_FALSE(shrunk);
  EXPECT_EQ(shrunk.error().Errno(), ERANGE);
  EXPECT_EQ(fs::file_size(layers_.image), 2 * kSize);
  Prepare(0);  // without a limit any size will do
}

TEST_F(Store, IsCheckedBeforeItIsMounted) {
  Prepare();
  {
    // An error that the kernel has met and noted.
    const auto file = OpenPath(layers_.image, O_RDWR);
    const std::array<char, 2> with_errors = {2, 0};
    ASSERT_EQ(::pwrite(file->get(), with_errors.data(), 2, kSuperblockAt + 58), 2);
  }
  EXPECT_TRUE(NeedsPreparation(layers_.image, kSize));
  EXPECT_EQ(TenantStore::Open(layers_, kSize).error().Errno(), EUCLEAN);
  // The superblock's checksum is wrong now, too: only a person may decide.
  const Status mended = PrepareStore(layers_, kSize);
  ASSERT_FALSE(mended);
  EXPECT_THAT(mended.error().Message(), testing::HasSubstr("e2fsck"));
  EXPECT_THAT(mended.error().hint, testing::HasSubstr(layers_.image));
}

TEST(Superblock, IsReadFromTheDisk) {
  std::array<uint8_t, kSuperblockSize> block{};
  EXPECT_EQ(ParseSuperblock(block).error().Errno(), EUCLEAN);
  const auto put = [&block](size_t at, std::initializer_list<uint8_t> bytes) {
    std::copy(bytes.begin(), bytes.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(56, {0x53, 0xef});
  put(24, {2, 0, 0, 0});    // 4 KiB
  put(4, {0, 0x40, 0, 0});  // 16384 blocks
  put(58, {1, 0});
  EXPECT_EQ(ParseSuperblock(block)->fs_bytes, uint64_t{64} << 20);
  EXPECT_TRUE(ParseSuperblock(block)->clean);
  put(336, {1, 0, 0, 0});
  EXPECT_EQ(ParseSuperblock(block)->fs_bytes,
            uint64_t{64} << 20);  // without 64bit it means nothing
  put(96, {0x80, 0, 0, 0});
  EXPECT_EQ(ParseSuperblock(block)->fs_bytes, (uint64_t{64} << 20) + (uint64_t{1} << 44));
  put(96, {0x84, 0, 0, 0});
  EXPECT_FALSE(ParseSuperblock(block)->clean);  // a journal to be replayed
  put(96, {0x80, 0, 0, 0});
  for (const uint8_t state : {0, 2, 3}) {
    put(58, {state, 0});
    EXPECT_FALSE(ParseSuperblock(block)->clean) << int{state};
  }
  put(24, {60, 0, 0, 0});
  EXPECT_EQ(ParseSuperblock(block).error().Errno(), EUCLEAN);
}

}  // namespace
}  // namespace bailey::supervisor
