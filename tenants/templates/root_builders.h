// The four ways to fill a template's root. Each runs as PID 1 of pid and mount namespaces of its
// own (build_process.h), blocks until done, and leaves cleaning up after a failure to its caller.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tenants/templates/template_builder.h"
#include "tenants/templates/template_store.h"

namespace bailey::tenants {

struct RootBuild {
  TemplateRequest request;
  std::string root_path;  // of the root being filled: an empty directory at first
  int root = -1;          // the same, O_RDONLY | O_DIRECTORY
  // What this host is; tests put another tree here.
  std::string host = "/";
  // Tells people how far it is; percent -1 when unknown.
  std::function<void(std::string_view text, int percent)> progress;
};

// Each fills `made->source` and, where it has them, `binds` and `hide`.
// Debian's busybox-static with a link for every applet, and a minimal /etc.
Status BuildBusyboxRoot(const RootBuild& build, Template* made);
// The host's /usr as a bind, and an /etc made from an allow-list (host_etc.h).
Status BuildHostRoot(const RootBuild& build, Template* made);
// Debian's debootstrap, variant minbase.
Status BuildDebootstrapRoot(const RootBuild& build, Template* made);
// An archive of unknown origin, unpacked by GNU tar where nothing but the root can be written.
Status BuildTarRoot(const RootBuild& build, Template* made);

}  // namespace bailey::tenants
