// A file that lines are appended to, and that is turned before it is too long: it becomes PATH.1,
// in place of an older one.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

// Made if it is not there (mode 0640); never through a symbolic link.
Result<UniqueFd> OpenLogFile(const std::string& path);
// The next one.
Result<UniqueFd> TurnLogFile(const std::string& path);

}  // namespace bailey
