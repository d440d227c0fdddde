// From what a tenant should be (its record, its plan, its template) to what its supervisor and its
// proxy are told, and the directories that it needs. Blocking file access, none of it slow.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "netproxy/config.h"
#include "supervisor/tenant_config.h"
#include "tenants/config.h"
#include "tenants/store.h"

namespace bailey::tenants {

struct Host {
  Paths paths;
  DaemonConfig config;
};

// The record's spec over its plan over the defaults. ENOENT when the plan has gone.
Result<Spec> EffectiveSpec(const Host& host, const TenantRecord& record);

// `peers`: the addresses of all other tenants.
netproxy::ProxyConfig MakeProxyConfig(const Host& host, const Spec& effective,
                                      const std::vector<IpAddress>& peers);
supervisor::Limits MakeLimits(const Spec& effective);
// Everything that a start needs. ENOENT when the template's generation has gone.
Result<supervisor::TenantConfig> MakeTenantConfig(const Host& host, const TenantRecord& record,
                                                  const Spec& effective,
                                                  const netproxy::ProxyConfig& proxy);
// Just enough to clear: never fails, whatever has gone.
supervisor::TenantConfig MakeClearingConfig(const Host& host, const TenantRecord& record);

// $STATE/tenants/NAME, and in it {upper,work} unless the store is (to be) an image, and
// $RUNTIME/tenants/NAME; what is there stays.
Status PrepareDirectories(const Host& host, const TenantRecord& record, bool image);

}  // namespace bailey::tenants
