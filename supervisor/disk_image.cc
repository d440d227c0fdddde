#include "supervisor/disk_image.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/files.h"

namespace bailey::supervisor {
namespace {

constexpr uint16_t kMagic = 0xef53, kStateValid = 1, kStateError = 2;
constexpr uint32_t kIncompatRecover = 0x4, kIncompat64Bit = 0x80;
constexpr unsigned kPollMicroseconds = 5'000;

uint16_t Read16(std::span<const uint8_t, kSuperblockSize> block, size_t at) {
  uint16_t value = 0;
  std::memcpy(&value, &block[at], sizeof value);
  return le16toh(value);
}
uint32_t Read32(std::span<const uint8_t, kSuperblockSize> block, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, &block[at], sizeof value);
  return le32toh(value);
}

Result<ImageState> InspectFile(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return Errno("fstat");
  std::array<uint8_t, kSuperblockSize> block{};
  if (::pread(file, block.data(), block.size(), kSuperblockAt) < 0) return Errno("read");
  auto state = ParseSuperblock(block);
  if (state) state->file_bytes = static_cast<uint64_t>(status.st_size);
  return state;
}

Status Lock(int file, const std::string& path, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return Errno("lock " + path);
    if (std::chrono::steady_clock::now() >= deadline)
      return Errno(path + " is still mounted", EBUSY)
          .WithHint("somebody on the host has a file or directory of the tenant open: fuser -m");
    ::usleep(kPollMicroseconds);
  }
  return {};
}

}  // namespace

Result<DiskImage> DiskImage::Open(const std::string& path, std::chrono::milliseconds patience) {
  auto file = OpenPath(path, O_RDWR | O_NOFOLLOW);
  if (!file) return file.error();
  BAILEY_TRY(Lock(file->get(), path, patience));
  return DiskImage(std::move(*file));
}

Result<DiskImage> DiskImage::Create(const std::string& path, uint64_t bytes) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Errno("unlink " + path);
  auto file = OpenPath(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file) return file.error();
  BAILEY_TRY(Lock(file->get(), path, {}));
  DiskImage image(std::move(*file));
  BAILEY_TRY(image.Resize(bytes));
  return image;
}

Status DiskImage::Resize(uint64_t bytes) const {
  if (::ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0)
    return Errno("make the image " + std::to_string(bytes) + " bytes long");
  return {};
}

uint64_t DiskImage::Length() const {
  struct stat status {};
  return ::fstat(file_.get(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

Result<ImageState> DiskImage::Inspect() const { return InspectFile(file_.get()); }

Result<std::optional<ImageState>> LookAtImage(const std::string& path) {
  const auto file = OpenPath(path, O_RDONLY | O_NOFOLLOW);
  if (!file && file.error().Errno() == ENOENT) return std::optional<ImageState>();
  if (!file) return file.error();
  auto state = InspectFile(file->get());
  if (!state) return state.error().Within(path);
  return std::optional(*state);
}

bool NeedsPreparation(const std::string& path, uint64_t limit) {
  const auto image = LookAtImage(path);
  if (!image) return true;  // it says why
  if (!*image) return limit > 0;
  return !(*image)->clean || (limit > 0 && (*image)->file_bytes != limit);
}

uint64_t ImageBytes(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  return static_cast<uint64_t>(status.st_size);
}

Result<ImageState> ParseSuperblock(std::span<const uint8_t, kSuperblockSize> block) {
  // The offsets of s_magic, s_state, s_feature_incompat, s_blocks_count_lo and _hi, and
  // s_log_block_size in struct ext4_super_block.
  if (Read16(block, 56) != kMagic) return Errno("there is no ext4 file system in it", EUCLEAN);
  const uint16_t state = Read16(block, 58);
  const uint32_t incompat = Read32(block, 96), log_block = Read32(block, 24);
  if (log_block > 6) return Errno("its superblock is damaged", EUCLEAN);
  uint64_t blocks = Read32(block, 4);
  if ((incompat & kIncompat64Bit) != 0) blocks |= uint64_t{Read32(block, 336)} << 32;
  ImageState seen;
  seen.fs_bytes = blocks << (10 + log_block);
  seen.clean = (state & kStateValid) != 0 && (state & kStateError) == 0 &&
               (incompat & kIncompatRecover) == 0;
  return seen;
}

}  // namespace bailey::supervisor
