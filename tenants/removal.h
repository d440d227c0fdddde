// Removing what a tenant has on disk. The one step that counts is a rename, $STATE/tenants/NAME to
// $STATE/removing/NAME.N: before it the tenant is whole, after it the tenant is gone, whatever
// crashes; the files then go in their own time.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "tenants/config.h"

namespace bailey::tenants {

// Moves the directory away; returns where to, or "" when there was none (it never started).
Result<std::string> MoveTenantAway(const Paths& paths, const std::string& name);
// The same with one directory in it, which means nothing any more: a crash may undo the rename,
// and then it is made again.
Result<std::string> MovePartAway(const Paths& paths, const std::string& name,
                                 const std::string& part);
// Removes what these two returned. Slow.
Status RemoveMoved(const std::string& path);

// At the daemon's start. A removal that was cut short between the rename and the store: the names
// that are in $STATE/removing and no longer in $STATE/tenants.
std::vector<std::string> HalfRemovedTenants(const Paths& paths);
// Everything in $STATE/removing. Slow.
Status RemoveAllMoved(const Paths& paths);

}  // namespace bailey::tenants
