// Namespaces: each kind is made once, as the launcher makes it.
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/result.h"
#include "tenants/doctor/host_checks.h"
#include "tenants/doctor/in_child.h"

namespace bailey::tenants {
namespace {

struct Kind {
  const char* name;
  int flag;
};
constexpr auto kHostOwned = std::to_array<Kind>({{"mount", CLONE_NEWNS}, {"net", CLONE_NEWNET}});
constexpr auto kTenantOwned = std::to_array<Kind>({{"user", CLONE_NEWUSER},
                                                   {"pid", CLONE_NEWPID},
                                                   {"ipc", CLONE_NEWIPC},
                                                   {"uts", CLONE_NEWUTS},
                                                   {"cgroup", CLONE_NEWCGROUP},
                                                   {"time", CLONE_NEWTIME}});

// An unprivileged id, as every tenant has one: whoever makes the user namespace pays for it.
constexpr uid_t kSomeUid = 1 << 20;

void Say(int out, const std::string& text) {
  [[maybe_unused]] const ssize_t n = ::write(out, text.data(), text.size());
}

void TryAll(int out) {
  for (const Kind& kind : kHostOwned)
    if (::unshare(kind.flag) != 0) Say(out, std::string(kind.name) + " ");
  if (::setresgid(kSomeUid, kSomeUid, kSomeUid) != 0 ||
      ::setresuid(kSomeUid, kSomeUid, kSomeUid) != 0)
    return Say(out, "uid ");
  for (const Kind& kind : kTenantOwned)
    if (::unshare(kind.flag) != 0) Say(out, std::string(kind.name) + " ");
}

}  // namespace

std::vector<HostCheck> CheckNamespaces() {
  if (::geteuid() != 0)
    return {{"namespaces", CheckResult::kWarning, "not tried", "sudo bailey doctor"}};
  std::string refused = AskInChild([](int out) {
    TryAll(out);
    Say(out, ".");
  });
  if (!refused.ends_with('.'))
    return {{"namespaces", CheckResult::kMissing, "the trial died", "see dmesg"}};
  refused.pop_back();
  if (refused.empty())
    return {{"namespaces", CheckResult::kOk, "mount net user pid ipc uts cgroup time", {}}};
  return {{"namespaces", CheckResult::kMissing, "refused: " + refused,
           "sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone (Debian) must not "
           "be 0, kernel.apparmor_restrict_unprivileged_userns must be 0"}};
}

}  // namespace bailey::tenants
