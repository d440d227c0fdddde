// Bailey's own programs, and those that it calls.
#include <unistd.h>

#include <array>
#include <string>

#include "tenants/doctor/host_checks.h"

namespace bailey::tenants {
namespace {

constexpr auto kOwn = std::to_array<const char*>({"baileyd", "bailey-api", "bailey-supervisor",
                                                  "bailey-init", "bailey-fs", "bailey-netproxy",
                                                  "bailey-template-builder", "bailey-probe"});

struct Foreign {
  const char* name;
  const char* package;
  const char* purpose;
};
constexpr auto kForeign = std::to_array<Foreign>({
    {"busybox", "busybox-static", "templates by --busybox"},
    {"debootstrap", "debootstrap", "templates by --debootstrap"},
    {"tar", "tar", "templates by --tar"},
});

bool IsInPath(const std::string& name) {
  for (const char* directory : {"/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"})
    if (::access((directory + name).c_str(), X_OK) == 0) return true;
  return false;
}

HostCheck CheckOwn(const std::string& directory) {
  std::string missing;
  for (const char* name : kOwn)
    if (::access((directory + "/" + name).c_str(), X_OK) != 0)
      missing += (missing.empty() ? "" : " ") + std::string(name);
  if (missing.empty()) return {"Bailey's programs", CheckResult::kOk, directory, {}};
  return {"Bailey's programs", CheckResult::kMissing, "not in " + directory + ": " + missing,
          "install or build all of Bailey; its programs lie beside bailey itself"};
}

}  // namespace

std::vector<HostCheck> CheckPrograms(const HostPlaces& places) {
  std::vector<HostCheck> checks = {CheckOwn(places.programs)};
  for (const Foreign& program : kForeign) {
    if (IsInPath(program.name))
      checks.push_back({program.name, CheckResult::kOk, program.purpose, {}});
    else
      checks.push_back({program.name, CheckResult::kWarning,
                        std::string("not installed; for ") + program.purpose,
                        std::string("apt-get install ") + program.package});
  }
  return checks;
}

}  // namespace bailey::tenants
