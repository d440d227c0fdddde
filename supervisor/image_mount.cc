#include "supervisor/image_mount.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "supervisor/mount_tree.h"

namespace bailey::supervisor {
namespace {

// fs/ext4/ext4.h; not in the kernel's exported headers before 6.x.
constexpr unsigned long kResizeFs = _IOW('f', 16, uint64_t);

constexpr unsigned kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

Status Resized(const DiskImage& image, const LoopDevice& loop, uint64_t bytes) {
  BAILEY_TRY(image.Resize(bytes));
  return FollowFileSize(loop);
}

}  // namespace

Result<ImageMount> MountImage(const DiskImage& image) {
  const auto state = image.Inspect();
  if (!state) return state.error();
  if (!state->clean) return Errno("its file system needs a check", EUCLEAN);
  ImageMount mounted;
  auto loop = AttachLoop(image.fd());
  if (!loop) return loop.error();
  mounted.loop = std::move(*loop);
  const UniqueFd context(::fsopen("ext4", FSOPEN_CLOEXEC));
  if (!context) return Errno("fsopen ext4").WithHint("modprobe ext4");
  if (::fsconfig(context.get(), FSCONFIG_SET_FLAG, "discard", nullptr, 0) != 0)
    return Errno("fsconfig ext4 discard");
  auto root = FinishMount(context.get(), "ext4",
                          {{"source", mounted.loop.path}, {"errors", "remount-ro"}}, kAttributes);
  if (!root) return root.error();
  // The mount's own descriptor is an O_PATH, with which little can be done.
  auto directory = OpenBeneath(root->get(), ".", O_RDONLY | O_DIRECTORY);
  if (!directory) return directory.error();
  mounted.root = std::move(*directory);
  if (!mounted.loop.direct_io)
    LogWarning(mounted.loop.path + ": no direct I/O: pages of the image are in memory twice");
  return mounted;
}

Status GrowMounted(const DiskImage& image, const LoopDevice& loop, int any, uint64_t bytes) {
  const auto before = image.Inspect();
  if (!before) return before.error();
  BAILEY_TRY(Resized(image, loop, bytes + kImageBlock));
  uint64_t blocks = bytes / kImageBlock;
  if (::ioctl(any, kResizeFs, &blocks) == 0) return Resized(image, loop, bytes);
  Error failed = Errno("grow the mounted file system");
  // Refused before anything was begun. After any other error it may have grown by a part.
  if (failed.Errno() == EPERM) BAILEY_TRY(Resized(image, loop, before->file_bytes));
  return failed;
}

}  // namespace bailey::supervisor
