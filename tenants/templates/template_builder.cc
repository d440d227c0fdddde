#include "tenants/templates/template_builder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdlib>

#include "base/files.h"
#include "base/syscalls.h"
#include "tenants/templates/template_store.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr std::array<const char*, 4> kKindNames = {"busybox", "host", "debootstrap", "tar"};

bool IsWord(std::string_view text, std::string_view more) {
  const auto allowed = [more](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           more.find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= 128 && text.front() != '-' &&
         std::ranges::all_of(text, allowed);
}

bool IsMirror(std::string_view text) {
  const bool known =
      text.starts_with("http://") || text.starts_with("https://") || text.starts_with("file:///");
  return known && text.size() <= 1024 && std::ranges::all_of(text, [](char c) {
           return c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != '[' && c != '\\';
         });
}

Status CheckDebootstrap(const TemplateRequest& request) {
  if (!IsWord(request.suite, "-."))
    return Invalid("not a Debian suite: \"" + request.suite + "\"", "for example bookworm");
  for (const std::string& package : request.include)
    if (!IsWord(package, "+-.")) return Invalid("not a package name: \"" + package + "\"");
  if (!request.mirror.empty() && !IsMirror(request.mirror))
    return Invalid("not a mirror: \"" + request.mirror + "\"",
                   "give an http, https or file URL, for example http://deb.debian.org/debian");
  return {};
}

Result<TemplateKind> ParseKind(std::string_view text) {
  const auto found = std::ranges::find(kKindNames, text);
  if (found == kKindNames.end())
    return Invalid("unknown kind of template: \"" + std::string(text) + "\"",
                   "one of busybox, host, debootstrap, tar");
  return static_cast<TemplateKind>(found - kKindNames.begin());
}

Status SetField(TemplateRequest& request, std::string_view key, const json::value& value) {
  if (key == "include") {
    request.include = json::value_to<std::vector<std::string>>(value);
    return {};
  }
  const auto text = json::value_to<std::string>(value);
  if (text.find('\0') != std::string::npos) return Invalid("a zero byte in " + std::string(key));
  if (key == "kind") {
    auto kind = ParseKind(text);
    if (!kind) return kind.error();
    request.kind = *kind;
  } else if (key == "name") {
    request.name = text;
  } else if (key == "suite") {
    request.suite = text;
  } else if (key == "mirror") {
    request.mirror = text;
  } else if (key == "path") {
    request.path = text;
  } else {
    return Invalid("unknown key \"" + std::string(key) + "\"",
                   "a template request has name, kind, suite, include, mirror, path");
  }
  return {};
}

Result<UniqueFd> RequestMemory(const TemplateRequest& request) {
  UniqueFd memory(::memfd_create("template-request", MFD_CLOEXEC));
  if (!memory) return Errno("memfd_create");
  BAILEY_TRY(WriteAll(memory.get(), request.ToJson()));
  if (::lseek(memory.get(), 0, SEEK_SET) != 0) return Errno("lseek");
  return memory;
}

// What the children of a builder need of our environment, and nothing else of it.
std::vector<std::string> BuilderEnvironment() {
  std::vector<std::string> env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                                  "HOME=/nonexistent"};
  for (const char* name : {"http_proxy", "https_proxy", "no_proxy"})
    if (const char* value = ::getenv(name)) env.push_back(std::string(name) + "=" + value);
  return env;
}

}  // namespace

const char* KindName(TemplateKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

Result<TemplateRequest> TemplateRequest::FromJson(std::string_view body) {
  TemplateRequest request;
  try {
    const json::value parsed = json::parse(json::string_view(body.data(), body.size()));
    bool has_kind = false;
    for (const auto& [key, value] : parsed.as_object()) {
      const std::string_view name(key.data(), key.size());
      has_kind |= name == "kind";
      BAILEY_TRY(SetField(request, name, value));
    }
    if (!has_kind) return Invalid("the kind of the template is missing");
  } catch (const std::exception& failure) {
    return Invalid(std::string("not a template request: ") + failure.what());
  }
  BAILEY_TRY(request.Check());
  return request;
}

std::string TemplateRequest::ToJson() const {
  json::object object{{"name", name}, {"kind", KindName(kind)}};
  if (!suite.empty()) object["suite"] = suite;
  if (!include.empty()) object["include"] = json::array(include.begin(), include.end());
  if (!mirror.empty()) object["mirror"] = mirror;
  if (!path.empty()) object["path"] = path;
  return json::serialize(object);
}

Status TemplateRequest::Check() const {
  BAILEY_TRY(CheckTemplateName(name));
  if (kind == TemplateKind::kDebootstrap) {
    BAILEY_TRY(CheckDebootstrap(*this));
  } else if (!suite.empty() || !include.empty() || !mirror.empty()) {
    return Invalid("suite, include and mirror belong to debootstrap templates");
  }
  if (kind == TemplateKind::kTar) {
    if (!path.starts_with('/')) return Invalid("the path of the tar must be absolute");
  } else if (!path.empty()) {
    return Invalid("a path belongs to tar templates");
  }
  return {};
}

Result<TemplateBuild> TemplateBuild::Start(const std::string& state_dir,
                                           const TemplateRequest& request) {
  BAILEY_TRY(request.Check());
  if (FindTemplate(state_dir, request.name))
    return Errno("template " + request.name, EEXIST)
        .WithHint("choose another name, or remove it: bailey template rm " + request.name);
  auto memory = RequestMemory(request);
  if (!memory) return memory.error();
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  UniqueFd read_end(pipe[0]);
  const UniqueFd write_end(pipe[1]);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return Errno("open /dev/null");
  ChildOptions options;
  options.argv = {ProgramDirectory() + "/bailey-template-builder", "--state", state_dir,
                  "--request-fd", "3"};
  options.env = BuilderEnvironment();
  options.fds = {{null.get(), 0}, {write_end.get(), 1}, {memory->get(), 3}};
  auto child = SpawnChild(options);
  if (!child) return child.error();
  return TemplateBuild(std::move(*child), std::move(read_end));
}

TemplateBuild::~TemplateBuild() {
  if (!child_.pidfd) return;
  Cancel();
  output_.Reset();
  [[maybe_unused]] const Status ended = Finish();
}

void TemplateBuild::Cancel() { sys::PidfdSendSignal(child_.pidfd.get(), SIGTERM); }

Status TemplateBuild::Finish() {
  if (!child_.pidfd) return {};
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(child_.pid, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  child_.pidfd.Reset();
  if (reaped < 0) return Errno("wait for the template builder");
  // 0 and 1 mean that the last line was written: a template, or the reason why not.
  if (WIFEXITED(status) && WEXITSTATUS(status) <= 1) return {};
  const std::string how = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                              : "status " + std::to_string(WEXITSTATUS(status));
  return Errno("the template builder ended with " + how, EIO)
      .WithHint("its messages are in the daemon's log");
}

}  // namespace bailey::tenants
