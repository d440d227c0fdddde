// How each kind of item is shown in tables and CSV.
#pragma once

#include "tenants/cli/render.h"

namespace bailey::tenants {

const View& TenantView();
const View& TemplateView();
const View& EventView();
const View& CheckView();
const View& FileSystemView();  // of show --fs, one line a tenant
const View& LayerView();
// A FileSystem for people: its layers as a table, its counters below.
std::string FileSystemText(const boost::json::object& item);
const View& AttemptView();  // of verify

// The member at "usage.memoryBytes", as text; empty when there is none.
std::string MemberText(const boost::json::object& item, std::string_view path);
// The same as a number, 0 when there is none.
double MemberNumber(const boost::json::object& item, std::string_view path);

}  // namespace bailey::tenants
