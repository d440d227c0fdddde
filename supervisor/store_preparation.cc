#include "supervisor/store_preparation.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "base/units.h"
#include "supervisor/host_tool.h"
#include "supervisor/image_mount.h"
#include "supervisor/image_tools.h"

namespace bailey::supervisor {
namespace {

// Owners, modes, special files, file capabilities, trusted.overlay.*.
constexpr CapabilityMask kToCopy = CapabilityBit(CAP_CHOWN) | CapabilityBit(CAP_DAC_OVERRIDE) |
                                   CapabilityBit(CAP_FOWNER) | CapabilityBit(CAP_FSETID) |
                                   CapabilityBit(CAP_MKNOD) | CapabilityBit(CAP_SETFCAP) |
                                   CapabilityBit(CAP_SYS_ADMIN);

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool IsDirectory(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Status MakeDirectory(int parent, const std::string& name, mode_t mode) {
  if (::mkdirat(parent, name.c_str(), mode) != 0) return Errno("mkdir " + name);
  if (::fchmodat(parent, name.c_str(), mode, 0) != 0) return Errno("chmod " + name);
  return {};
}

// What the file server has written, as it is, with everything that means something to it: both
// parts by one call, for files of the upper have further names in the index of hard links below
// `work`. An attribute that cannot be copied is a failure: without overlayfs' marks a file would be
// another one.
Status CopyLayers(const Layers& layers, int root) {
  constexpr int kTarget = 3;
  HostTool copy{
      .argv = {"cp", "-a", "--preserve=xattr", "--one-file-system",
               "--target-directory=/proc/self/fd/" + std::to_string(kTarget), "--", layers.upper},
      .package = "coreutils",
      .fds = {{root, kTarget}},
      .keep = kToCopy};
  if (IsDirectory(layers.work)) copy.argv.push_back(layers.work);
  Status copied = RunHostTool(copy);
  if (copied) return copied;
  return copied.error()
      .Within("copy what the tenant has into its new disk")
      .WithHint("give it a disk that holds all of " + layers.upper + ", or none");
}

Status FillImage(const DiskImage& image, const Layers& layers) {
  const auto mounted = MountImage(image);
  if (!mounted) return mounted.error();
  const int root = mounted->root.get();
  if (IsDirectory(layers.upper))
    BAILEY_TRY(CopyLayers(layers, root));
  else
    BAILEY_TRY(MakeDirectory(root, BaseName(layers.upper), 0755));  // the tenant's own /
  if (!IsDirectory(layers.upper) || !IsDirectory(layers.work))
    BAILEY_TRY(MakeDirectory(root, BaseName(layers.work), 0700));
  if (::syncfs(root) != 0) return Errno("write the image");
  return {};
}

// Only when the mount is gone does the image hold what was written.
Status SyncImage(const std::string& path) {
  const auto image = DiskImage::Open(path, kAwaitImage);
  if (!image) return image.error();
  const auto state = image->Inspect();
  if (!state) return state.error();
  if (!state->clean) return Errno(path + " was not unmounted in good order", EUCLEAN);
  if (::fsync(image->fd()) != 0) return Errno("fsync " + path);
  return {};
}

Status MakeImage(const std::string& path, const Layers& layers, uint64_t limit) {
  {
    const auto image = DiskImage::Create(path, limit);
    if (!image) return image.error();
    BAILEY_TRY(MakeExt4(path, limit));
    BAILEY_TRY(FillImage(*image, layers));
  }
  return SyncImage(path);
}

Status NewImage(const Layers& layers, uint64_t limit) {
  const std::string fresh = layers.image + ".new";
  if (Status made = MakeImage(fresh, layers, limit); !made) {
    ::unlink(fresh.c_str());
    return made;
  }
  if (::rename(fresh.c_str(), layers.image.c_str()) != 0) return Errno("rename " + fresh);
  const std::string parent = layers.image.substr(0, layers.image.rfind('/'));
  const auto directory = OpenPath(parent, O_RDONLY | O_DIRECTORY);
  if (!directory) return directory.error();
  if (::fsync(directory->get()) != 0) return Errno("fsync " + parent);
  return {};
}

Status GrowImage(const DiskImage& image, uint64_t limit) {
  const auto mounted = MountImage(image);
  if (!mounted) return mounted.error();
  return GrowMounted(image, mounted->loop, mounted->root.get(), limit);
}

Status GrowUnmounted(const std::string& path, uint64_t limit) {
  const auto image = DiskImage::Open(path, kAwaitImage);
  if (!image) return image.error();
  BAILEY_TRY(image->Resize(limit + kImageBlock));  // as GrowMounted: not done yet
  BAILEY_TRY(GrowExt4(path, limit));
  return image->Resize(limit);
}

Status CheckImage(const DiskImage& image, const std::string& path) {
  auto state = image.Inspect();
  if (state && state->clean) return {};
  LogInfo(path + " was not unmounted in good order: checking it");
  BAILEY_TRY(CheckExt4(path, /*whole=*/false));
  state = image.Inspect();
  if (!state) return state.error();
  if (!state->clean) return Errno(path + " is damaged", EUCLEAN);
  return {};
}

Error TooSmall(const ImageState& state, uint64_t limit) {
  return Errno("its disk has " + FormatSize(state.fs_bytes) + ", more than the limit of " +
                   FormatSize(limit) + ": a disk cannot shrink",
               ERANGE)
      .WithHint("set a limit of " + std::to_string(state.fs_bytes) + " bytes or more");
}

Status RefreshImage(const Layers& layers, uint64_t limit) {
  {
    const auto image = DiskImage::Open(layers.image, kAwaitImage);
    if (!image) return image.error();
    BAILEY_TRY(CheckImage(*image, layers.image));
    const auto state = image->Inspect();
    if (!state) return state.error();
    if (limit == 0 || state->file_bytes == limit) return {};
    if (state->fs_bytes > limit) return TooSmall(*state, limit);
    Status grown = GrowImage(*image, limit);
    if (grown || grown.error().Errno() != EPERM) return grown;
  }
  return GrowUnmounted(layers.image, limit);
}

}  // namespace

Status PrepareStore(const Layers& layers, uint64_t limit) {
  if (ImageBytes(layers.image) > 0) return RefreshImage(layers, limit);
  if (limit == 0) return {};
  return NewImage(layers, limit);
}

}  // namespace bailey::supervisor
