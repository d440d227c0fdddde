// Templates: the read-only roots that tenants share, as directories on the host.
//
//   $STATE/templates/NAME/GENERATION/{root/,template.json}
//
// A generation never changes once it has that name: it is built as $STATE/templates/.building-*,
// synced, and renamed into place; one that goes is first renamed to .removing-*. So whoever is
// killed in between leaves nothing that could be mistaken for a template.
//
// All functions block and may be called from any thread or process; none caches.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tenants/templates/disk_use.h"

namespace bailey::tenants {

struct Template {
  std::string name;
  int generation = 0;                        // counts from 1
  std::string kind;                          // busybox, host, debootstrap or tar
  std::string created;                       // RFC 3339, UTC
  std::string source;                        // what it was made from, for people
  std::map<std::string, std::string> binds;  // place in the root ("usr") -> host directory ("/usr")
  std::vector<std::string> hide;  // places in the root that no tenant may see ("usr/x/key")
  std::optional<DiskUse> use;     // of root/, measured when it was built
  std::string directory;          // …/NAME/GENERATION; not in template.json

  std::string root() const { return directory + "/root"; }
  double CreatedAt() const;  // `created` as Unix time
  // The item of docs/DESIGN.md's "Template"; also the text of template.json.
  std::string ToJson() const;
  static Result<Template> FromJson(std::string_view text);
};

// [a-z0-9][a-z0-9._-]{0,63}, as the spec's tenant.template. EINVAL with a hint.
Status CheckTemplateName(std::string_view name);

// Every template's newest generation, by name. An unreadable one is left out and logged.
Result<std::vector<Template>> ListTemplates(const std::string& state_dir);
// One generation, 0 meaning the newest. ENOENT with a hint when there is none.
Result<Template> FindTemplate(const std::string& state_dir, const std::string& name,
                              int generation = 0);
// All generations of `name`. Whether a tenant uses it is the caller's question, to be asked before,
// under the lock under which tenants are created.
Status RemoveTemplate(const std::string& state_dir, const std::string& name);
// Removes .building-* and .removing-* that nobody is at work on (builders hold a flock on theirs).
// For the daemon's start.
Status RemoveTemplateLeftovers(const std::string& state_dir);

}  // namespace bailey::tenants
