#include "supervisor/tenant_store.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "base/files.h"
#include "base/units.h"
#include "supervisor/mount_tree.h"

namespace bailey::supervisor {
namespace {

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// One clone of their parent, not two: a rename between two mounts is EXDEV.
Result<UniqueFd> CloneDirectory(const std::string& parent) {
  auto store = CloneMount(AT_FDCWD, parent);
  if (!store) return store;
  BAILEY_TRY(AddMountAttributes(store->get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  return store;
}

}  // namespace

Result<TenantStore> TenantStore::Open(const Layers& layers, uint64_t limit) {
  if (ParentOf(layers.upper) != ParentOf(layers.work))
    return Invalid("layers: upper and work must lie in one directory");
  TenantStore store;
  if (ImageBytes(layers.image) > 0) {
    if (Status opened = store.OpenImage(layers, limit); !opened)
      return opened.error().Within(layers.image);
    return store;
  }
  if (limit > 0) return Errno("there is no " + layers.image + " to hold the limit", ENOENT);
  const auto root = CloneDirectory(ParentOf(layers.upper));
  if (!root) return root.error();
  BAILEY_TRY(store.OpenLayers(root->get(), layers));
  return store;
}

Status TenantStore::OpenImage(const Layers& layers, uint64_t limit) {
  auto image = DiskImage::Open(layers.image, kAwaitImage);
  if (!image) return image.error();
  image_.emplace(std::move(*image));
  if (limit > 0 && bytes() != limit) return Errno("it is not as large as the limit", ERANGE);
  auto mounted = MountImage(*image_);
  if (!mounted) return mounted.error();
  loop_ = std::move(mounted->loop);
  return OpenLayers(mounted->root.get(), layers);
}

Status TenantStore::OpenLayers(int root, const Layers& layers) {
  for (auto [path, fd] : {std::pair{&layers.upper, &upper_}, {&layers.work, &work_}}) {
    const std::string name = path->substr(path->rfind('/') + 1);
    auto opened = OpenBeneathNoSymlinks(root, name, O_RDONLY | O_DIRECTORY);
    if (!opened) return opened.error();
    *fd = std::move(*opened);
  }
  return {};
}

uint64_t TenantStore::bytes() const { return image_ ? image_->Length() : 0; }

Status TenantStore::SetLimit(uint64_t bytes) const {
  if (!image_ || bytes == 0 || bytes == this->bytes()) return {};
  if (bytes + kImageBlock < this->bytes())
    return Errno("its disk has " + FormatSize(this->bytes()) + ": it cannot shrink", ERANGE);
  Status grown = GrowMounted(*image_, loop_, upper(), bytes);
  if (grown || grown.error().Errno() != EPERM) return grown;
  return grown.error().WithHint(
      "this host withholds CAP_SYS_RESOURCE: stop the tenant, set the limit, start it again");
}

std::optional<StoreUsage> TenantStore::Usage() const {
  struct statvfs seen {};
  if (!image_ || ::fstatvfs(upper(), &seen) != 0) return std::nullopt;
  StoreUsage usage;
  usage.bytes = bytes();
  const uint64_t free = seen.f_bavail * seen.f_frsize;
  usage.used_bytes = usage.bytes > free ? usage.bytes - free : 0;
  usage.inodes = seen.f_files;
  usage.used_inodes = seen.f_files - seen.f_ffree;
  return usage;
}

Status AwaitStoreFree(const Layers& layers, std::chrono::milliseconds at_most) {
  if (ImageBytes(layers.image) == 0) return {};
  const auto image = DiskImage::Open(layers.image, at_most);
  if (image || image.error().Errno() == ENOENT) return {};
  return image.error();
}

}  // namespace bailey::supervisor
