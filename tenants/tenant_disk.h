// What the daemon knows and decides of a tenant's disk image (supervisor/disk_image.h), from its
// file alone: it never opens what is in it.
#pragma once

#include <cstdint>

#include "tenants/core_protocol.h"
#include "tenants/store.h"
#include "tenants/tenant_setup.h"

namespace bailey::tenants {

// The limit that holds: an image's size, however it came to it; without an image none, for a tenant
// that `runs`, else what is wanted at its next start. 0: none.
uint64_t DiskLimit(const Host& host, const std::string& name, const Spec& effective, bool runs);

// Whether `record`'s tenant may become what `spec` says. kUsage for a disk that would shrink or
// lose its limit: an ext4 in use cannot, and nothing is thrown away by a setting.
ApiStatus CheckDisk(const Host& host, const TenantRecord& record, const Spec& effective,
                    const Spec& spec);

}  // namespace bailey::tenants
