#include "supervisor/allow.h"

#include <algorithm>

namespace bailey::supervisor {

Result<Allow> ParseAllow(const std::map<std::string, bool>& names) {
  Allow allow;
  for (const auto& [name, value] : names) {
    const auto* const row =
        std::find_if(kAllowNames.begin(), kAllowNames.end(),
                     [&name = name](const AllowName& known) { return known.name == name; });
    if (row == kAllowNames.end()) {
      std::string known;
      for (const AllowName& each : kAllowNames)
        known += (known.empty() ? "" : ", ") + std::string(each.name);
      return Invalid("allow." + name + " is not known", "one of: " + known);
    }
    allow.*row->flag = value;
  }
  return allow;
}

}  // namespace bailey::supervisor
