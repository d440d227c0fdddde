#include "base/log_file.h"

#include <fcntl.h>

#include <cstdio>

#include "base/files.h"

namespace bailey {

Result<UniqueFd> OpenLogFile(const std::string& path) {
  return OpenPath(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
}

Result<UniqueFd> TurnLogFile(const std::string& path) {
  if (std::rename(path.c_str(), (path + ".1").c_str()) != 0) return Errno("rename " + path);
  return OpenLogFile(path);
}

}  // namespace bailey
