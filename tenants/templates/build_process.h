// The life of a builder process: a directory under a temporary name, a worker in namespaces of its
// own that fills it, and either a rename or a removal.
#pragma once

#include <string>

#include "base/result.h"
#include "tenants/templates/template_builder.h"

namespace bailey::tenants {

// Builds `request` below `state_dir`/templates and writes the lines of template_builder.h to
// `output`. Ends early, cleaning up, on SIGTERM, SIGINT, SIGHUP, or when nobody reads `output` any
// more. Returns the process's exit status: 0 made, 1 not made; in both cases the last line says so.
// Call from a process with no other threads. `host` is where this host's files are: "/", but for
// tests.
int RunTemplateBuild(const std::string& state_dir, const TemplateRequest& request, int output,
                     const std::string& host = "/");

}  // namespace bailey::tenants
