// /etc/hostname, hosts and resolv.conf of a tenant: its names, its address, the proxy's stub,
// whatever its template said. Ordinary files, written into its tree at every start, until the
// tenant makes one of them its own: by writing to it, by renaming another over it, by unlinking it.
// From then on that one is left alone.
//
// What was written last is remembered beside the tree, in attributes of the upper layer's root
// (trusted.bailey.etc.NAME), which no tenant can see or change: a file whose text is another, or
// that is gone, is the tenant's doing. In a tree without attributes (a copy), whoever has our first
// line is ours.
#pragma once

#include "base/result.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// `plain_root`: the tenant's tree without id translation; `upper`: the root of its own layer, which
// may be O_PATH; -1: none, and nothing is remembered. No symlink in either is followed; an /etc
// that is no directory is left alone, and resolv.conf where config.resolv_conf is empty.
Status WriteEtcFiles(int plain_root, int upper, const TenantConfig& config);

}  // namespace bailey::supervisor
