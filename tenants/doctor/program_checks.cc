// Bailey's own programs, and those that it calls.
#include <unistd.h>

#include <array>
#include <string>

#include "base/host_program.h"
#include "tenants/doctor/host_checks.h"

namespace bailey::tenants {
namespace {

constexpr auto kOwn = std::to_array<const char*>(
    {"baileyd", "bailey-api", "bailey-supervisor", "bailey-init", "bailey-fs", "bailey-netproxy",
     "bailey-template-builder", "bailey-probe", "bailey-tls"});

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
    if (!FindProgram(program.name).empty())
      checks.push_back({program.name, CheckResult::kOk, program.purpose, {}});
    else
      checks.push_back({program.name, CheckResult::kWarning,
                        std::string("not installed; for ") + program.purpose,
                        std::string("apt-get install ") + program.package});
  }
  return checks;
}

}  // namespace bailey::tenants
