#include "tenants/tenant_disk.h"

#include <algorithm>

#include "base/units.h"
#include "supervisor/disk_image.h"

namespace bailey::tenants {

uint64_t DiskLimit(const Host& host, const std::string& name, const Spec& effective, bool runs) {
  const uint64_t image = supervisor::ImageBytes(host.paths.DiskImage(name));
  if (image > 0) return image;
  return runs ? 0 : *effective.disk_bytes;
}

ApiStatus CheckDisk(const Host& host, const TenantRecord& record, const Spec& effective,
                    const Spec& spec) {
  const std::string& name = record.name();
  const uint64_t image = supervisor::ImageBytes(host.paths.DiskImage(name));
  if (image == 0) return {};
  TenantRecord changed = record;
  changed.spec = spec;
  const auto wanted = EffectiveSpec(host, changed);
  if (!wanted) return ApiError::From(wanted.error(), name, "spec");
  const uint64_t bytes = *wanted->disk_bytes;
  if (bytes == *effective.disk_bytes) return {};
  const std::string size = FormatSize(image);
  if (bytes == 0)
    return ApiError{ApiCode::kUsage,
                    "the disk of " + name + " keeps its limit: it is an image of " + size, name,
                    "spec", "set a larger limit"};
  // An image is a block longer than the limit while it grows.
  const uint64_t held =
      *effective.disk_bytes > 0 ? *effective.disk_bytes : image - supervisor::kImageBlock;
  if (bytes < std::min(image, held))
    return ApiError{ApiCode::kUsage, "the disk of " + name + " cannot shrink: it has " + size, name,
                    "spec", "a smaller one takes another tenant, and a copy of the files"};
  return {};
}

}  // namespace bailey::tenants
