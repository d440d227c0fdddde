// Building a template: a request, and the process that carries it out.
//
// The work is done by `bailey-template-builder`, a child of baileyd's core: it runs foreign
// programs (debootstrap, tar) in pid and mount namespaces of its own, so that its end ends them
// all. It writes the lines of the API's streamed answer, which baileyd passes on unread:
//
//   {"progress":{"text":"Unpacking dpkg","percent":41}}            percent is -1 when unknown
//   {"apiVersion":"bailey/v1","kind":"Template","items":[{…}]}     the last line, or
//   {"error":{"code":"exists","message":…,"hint":…}}
//
// When baileyd dies, the builder finds its output closed, cleans up and ends.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/child_process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::tenants {

enum class TemplateKind { kBusybox, kHost, kDebootstrap, kTar };
const char* KindName(TemplateKind kind);  // "busybox" …

struct TemplateRequest {
  std::string name;
  TemplateKind kind = TemplateKind::kBusybox;
  std::string suite;                 // debootstrap: "bookworm"
  std::vector<std::string> include;  // debootstrap: packages beyond minbase
  std::string mirror;                // debootstrap: empty means the host's own
  std::string path;                  // tar: absolute path on the host

  // The body of POST /v1/templates:
  //   {"name","kind":"busybox|host|debootstrap|tar","suite","include":[…],"mirror","path"}
  // EINVAL for unknown keys, wrong types and whatever Check() refuses.
  static Result<TemplateRequest> FromJson(std::string_view body);
  std::string ToJson() const;
  // Names, suite, packages and mirror are what they look like and never options; a kind has what
  // it needs and nothing that belongs to another.
  Status Check() const;
};

// A running builder. Not thread-safe. Destroying it cancels it and waits for its end.
class TemplateBuild {
 public:
  // Starts the builder found in ProgramDirectory(). EEXIST at once if the template exists.
  static Result<TemplateBuild> Start(const std::string& state_dir, const TemplateRequest& request);
  TemplateBuild(TemplateBuild&&) = default;
  TemplateBuild& operator=(TemplateBuild&&) = delete;
  ~TemplateBuild();

  // Where the lines come from: a pipe, to be polled and read until its end.
  int output() const { return output_.get(); }
  // Asks the builder to end (SIGTERM); it still removes what it made. Idempotent.
  void Cancel();
  // After the end of output(): reaps the builder. An error only if it died without a last line:
  // that error is then the caller's to send.
  Status Finish();

 private:
  TemplateBuild(Child child, UniqueFd output)
      : child_(std::move(child)), output_(std::move(output)) {}
  Child child_;
  UniqueFd output_;
};

}  // namespace bailey::tenants
