// A Tenant and an Event as the API shows them (docs/DESIGN.md, "The API").
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <string>

#include "supervisor/cgroup_host.h"
#include "tenants/store.h"
#include "tenants/tenant.h"

namespace bailey::tenants {

boost::json::object TenantItem(const Host& host, const supervisor::CgroupHost& cgroups,
                               const Tenant& tenant);
boost::json::object EventItem(const Event& event);

// "2026-11-24T15:04:05.123Z".
std::string FormatTime(double unix_time);

}  // namespace bailey::tenants
