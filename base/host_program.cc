#include "base/host_program.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>

namespace bailey {

std::string FindProgram(const std::string& name) {
  for (const char* directory : {"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"})
    if (::access((directory + name).c_str(), X_OK) == 0) return directory + name;
  return {};
}

int ConfineProgram(void* rights) {
  const auto& [keep, parent] = *static_cast<const ProgramRights*>(rights);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  if (::getppid() != parent) return ESRCH;  // it died before: nobody waits for the program
  if (keep == kAllCapabilities) return 0;
  // The bounding set needs SETPCAP, so it goes first; exec then computes the rest from it.
  if (DropBoundingSet(keep) != 0 || SetCapabilities(keep) != 0) return errno;
  CapabilitySets left;
  if (ReadCapabilities(&left) != 0) return errno;
  return ((left.effective | left.permitted | left.bounding | left.ambient) & ~keep) == 0 ? 0
                                                                                         : EPERM;
}

}  // namespace bailey
