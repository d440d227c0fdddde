// /etc/resolv.conf and /etc/hosts of a tenant, written into its tree at every start: its names are
// resolved by the proxy's stub, whatever its template said. A tenant that replaces one of them has
// its own from then on.
#pragma once

#include "base/result.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// `plain_root`: the tenant's tree without id translation; `upper`: its own layer. No symlink in it is followed; an /etc
// that is none, or a file that is the tenant's own, is left alone.
//  - resolv.conf (config.resolv_conf, unless empty) is the tenant's own if its upper layer has one
//    without our first line; one that came with the template is replaced.
//  - hosts is written if there is none, or an empty one, or ours.
Status WriteEtcFiles(int plain_root, int upper, const TenantConfig& config);

}  // namespace bailey::supervisor
