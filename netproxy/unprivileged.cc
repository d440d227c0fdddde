#include "netproxy/unprivileged.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>

#include "base/capabilities.h"

namespace bailey::netproxy {
namespace {

Status BecomeUser(uint32_t uid) {
  // The bounding set first: it needs a capability itself.
  if (DropBoundingSet(0) != 0) return Errno("drop the bounding set");
  if (::setgroups(0, nullptr) != 0) return Errno("setgroups");
  if (::setresgid(uid, uid, uid) != 0) return Errno("setresgid");
  if (::setresuid(uid, uid, uid) != 0) return Errno("setresuid");
  if (SetCapabilities(0) != 0) return Errno("capset");
  return {};
}

Status CheckUser(uint32_t uid) {
  std::array<uid_t, 3> uids{};
  std::array<gid_t, 3> gids{};
  if (::getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
      ::getresgid(&gids[0], &gids[1], &gids[2]) != 0)
    return Errno("read the ids");
  for (size_t i = 0; i < uids.size(); ++i)
    if (uids[i] != uid || gids[i] != uid) return Errno("ids are left after the drop", EPERM);
  if (::getgroups(0, nullptr) != 0) return Errno("groups are left after the drop", EPERM);
  if (::setresuid(0, 0, 0) == 0) return Errno("root can be regained", EPERM);
  return DropCapabilities(0);  // reads all five sets back
}

Status Seal() {
  const rlimit none{};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return Errno("RLIMIT_CORE");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Errno("PR_SET_DUMPABLE");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Errno("PR_SET_NO_NEW_PRIVS");
  if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    return Errno("the process is not sealed", EPERM);
  return {};
}

}  // namespace

Status BecomeUnprivileged(uint32_t uid) {
  if (uid == 0) return Errno("this program cannot run as root", EINVAL);
  BAILEY_TRY(BecomeUser(uid));
  BAILEY_TRY(CheckUser(uid));
  return Seal();
}

}  // namespace bailey::netproxy
