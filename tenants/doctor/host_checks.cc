#include "tenants/doctor/host_checks.h"

#include <iterator>

namespace bailey::tenants {

const char* CheckResultName(CheckResult result) {
  switch (result) {
    case CheckResult::kOk:
      return "ok";
    case CheckResult::kWarning:
      return "warning";
    case CheckResult::kMissing:
      return "missing";
  }
  return "missing";
}

std::vector<HostCheck> ExamineHost(const HostPlaces& places) {
  std::vector<HostCheck> all;
  for (auto group : {CheckKernel(), CheckFuse(), CheckBpf(), CheckNetwork(), CheckCgroups(),
                     CheckNamespaces(), CheckPrograms(places), CheckStorage(places), CheckDisks()})
    std::move(group.begin(), group.end(), std::back_inserter(all));
  return all;
}

}  // namespace bailey::tenants
