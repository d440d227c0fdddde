// TenantStore: where a tenant's own layer lies: a plain directory of the host's, or, for a tenant
// with a disk limit, a disk image whose size is the limit. Which it is, is decided by whether
// there is an image. Open as long as this lives; the mount of an image lives as long as anybody has
// anything in it open. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/disk_image.h"
#include "supervisor/image_mount.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// What is not free for the tenant is used: journal and inode tables too. So `used` meets `bytes`
// exactly when a write fails with ENOSPC.
struct StoreUsage {
  uint64_t bytes = 0, used_bytes = 0;
  uint64_t inodes = 0, used_inodes = 0;
};

class TenantStore {
 public:
  // Takes milliseconds: what takes longer is PrepareStore()'s. EUCLEAN or ERANGE when that has been
  // left out; EBUSY when somebody still uses the image.
  static Result<TenantStore> Open(const Layers& layers, uint64_t limit);

  // Of one mount: a rename between them must work. nosuid, nodev.
  int upper() const { return upper_.get(); }
  int work() const { return work_.get(); }
  // The limit that holds; 0 for a plain directory.
  uint64_t bytes() const;
  // Live, of an image; ERANGE for less than there is. A plain directory stays as it is: it becomes
  // an image at the next start.
  Status SetLimit(uint64_t bytes) const;
  // nullopt for a plain directory: what it uses is not counted.
  std::optional<StoreUsage> Usage() const;

 private:
  TenantStore() = default;
  Status OpenImage(const Layers& layers, uint64_t limit);
  Status OpenLayers(int root, const Layers& layers);

  std::optional<DiskImage> image_;
  LoopDevice loop_;
  UniqueFd upper_, work_;
};

// Waits until the last mount of the image has gone; EBUSY. No image: at once.
Status AwaitStoreFree(const Layers& layers, std::chrono::milliseconds at_most);

}  // namespace bailey::supervisor
