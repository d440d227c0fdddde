// The kernel as a whole: release, architecture, seccomp, limits.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <string>

#include "base/files.h"
#include "tenants/doctor/host_checks.h"

namespace bailey::tenants {
namespace {

// A tenant's supervisor and servers hold some dozens of descriptors each.
constexpr rlim_t kEnoughFiles = 16384;

HostCheck CheckPrivileges() {
  if (::geteuid() == 0) return {"root", CheckResult::kOk, "yes", {}};
  return {"root", CheckResult::kWarning, "no: some checks below cannot try what they ask for",
          "sudo bailey doctor"};
}

HostCheck CheckRelease(const utsname& system) {
  const std::string release = system.release;
  if (IsAtLeastRelease(release, 6, 12)) return {"kernel", CheckResult::kOk, release, {}};
  return {"kernel", CheckResult::kMissing, release + ", older than 6.12",
          "Debian 12: enable bookworm-backports, apt-get install -t bookworm-backports "
          "linux-image-amd64, reboot; or Debian 13"};
}

HostCheck CheckArchitecture(const utsname& system) {
  const std::string machine = system.machine;
  const bool known = machine == "x86_64" || machine == "aarch64";
  return {"architecture", known ? CheckResult::kOk : CheckResult::kMissing, machine,
          known ? "" : "Bailey's seccomp filter knows x86-64 and arm64"};
}

HostCheck CheckSeccomp() {
  auto actions = ReadFile("/proc/sys/kernel/seccomp/actions_avail");
  if (!actions)
    return {"seccomp", CheckResult::kMissing, "no filters", "needs CONFIG_SECCOMP_FILTER=y"};
  for (const char* action : {"kill_process", "errno", "user_notif", "log"})
    if (actions->find(action) == std::string::npos)
      return {"seccomp", CheckResult::kMissing, std::string("no action ") + action,
              "needs a newer kernel"};
  return {"seccomp", CheckResult::kOk, "filters with notification", {}};
}

HostCheck CheckOpenFiles() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::string found =
      limit.rlim_max == RLIM_INFINITY ? "unlimited" : "at most " + std::to_string(limit.rlim_max);
  if (limit.rlim_max >= kEnoughFiles) return {"open files", CheckResult::kOk, found, {}};
  return {"open files", CheckResult::kWarning, found + ": enough for a few tenants only",
          "raise the hard limit: LimitNOFILE= of the service, or /etc/security/limits.conf"};
}

}  // namespace

bool IsAtLeastRelease(const std::string& release, int major, int minor) {
  int has_major = 0, has_minor = 0;
  const char* end = release.data() + release.size();
  const auto first = std::from_chars(release.data(), end, has_major);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') return false;
  if (std::from_chars(first.ptr + 1, end, has_minor).ec != std::errc()) return false;
  return has_major > major || (has_major == major && has_minor >= minor);
}

std::vector<HostCheck> CheckKernel() {
  utsname system{};
  ::uname(&system);
  return {CheckPrivileges(), CheckRelease(system), CheckArchitecture(system), CheckSeccomp(),
          CheckOpenFiles()};
}

}  // namespace bailey::tenants
