// What a server that runs alone counts, as text, and how to ask one that runs. For a tenant's
// server baileyd reads the same counters in shared memory.
#pragma once

#include <string>
#include <string_view>

#include "base/counters.h"
#include "base/result.h"

namespace bailey::fs {

// An attribute of the root of a mount that was made without a supervisor. The kernel shows trusted.
// attributes to CAP_SYS_ADMIN of the host alone; no directory on disk has this one.
inline constexpr std::string_view kCountersAttribute = "trusted.bailey.counters";

// One "name value" a line, in a fixed order; new names come at the end.
std::string CounterText(const CounterPage<FsCounter>& counters);

// The text of whoever serves `mount_point`. ENODATA when that is no such mount.
Result<std::string> AskForCounters(const std::string& mount_point);

}  // namespace bailey::fs
