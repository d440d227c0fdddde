#include "tenants/spec_json.h"

#include <utility>

#include "tenants/spec_keys.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// What a tenant without a start command of its own runs: its /etc/rc, as jail(8) does, and then
// nothing, for ever, so that there is something to exec into.
constexpr const char* kDefaultStart =
    "[ ! -r /etc/rc ] || /bin/sh /etc/rc; while :; do sleep 3600; done";

std::string Joined(std::string_view section, std::string_view name) {
  std::string path(section);
  if (!path.empty()) path += '.';
  path += name;
  return path;
}

SpecResult<void> ReadSection(const json::object& object, const std::string& section, Spec& spec) {
  for (const auto& member : object) {
    const std::string path = Joined(section, {member.key().data(), member.key().size()});
    if (const SpecKey* key = FindSpecKey(path); key != nullptr) {
      if (auto read = key->read(member.value(), spec); !read)
        return SpecProblem{path, false, read.error()};
    } else if (!IsSpecSection(path)) {
      return SpecProblem{path, true, Invalid("unknown key", KeyHint(path))};
    } else if (const json::object* inner = member.value().if_object(); inner == nullptr) {
      return SpecProblem{path, false, Invalid("not a table", "write [" + path + "]")};
    } else if (auto read = ReadSection(*inner, path, spec); !read) {
      return read;
    }
  }
  return {};
}

// The object that `path` lies in, made where it is missing.
json::object& SectionFor(json::object& root, std::string_view path) {
  json::object* section = &root;
  for (size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
    json::value& inner = (*section)[json::string_view(path.data(), dot)];
    if (!inner.is_object()) inner.emplace_object();
    section = &inner.get_object();
    path.remove_prefix(dot + 1);
  }
  return *section;
}

}  // namespace

json::object SpecToJson(const Spec& spec) {
  json::object root;
  for (const SpecKey& key : SpecKeys()) {
    json::value value = key.write(spec);
    if (value.is_null()) continue;
    const std::string_view path = key.path;
    const std::string_view name = path.substr(path.rfind('.') + 1);
    SectionFor(root, path)[json::string_view(name.data(), name.size())] = std::move(value);
  }
  return root;
}

SpecResult<Spec> SpecFromJson(const json::object& object) {
  Spec spec;
  if (auto read = ReadSection(object, "", spec); !read) return read.error();
  return spec;
}

Error ToError(const SpecProblem& problem) {
  Error error = problem.error;
  const bool named = error.context.starts_with(problem.path);
  if (!problem.path.empty() && !named) error.context = problem.path + ": " + error.context;
  return error;
}

Result<Spec> ReadSpecJson(const json::object& object) {
  auto spec = SpecFromJson(object);
  if (!spec) return ToError(spec.error());
  if (auto complete = CheckComplete(*spec); !complete) return ToError(complete.error());
  return std::move(*spec);
}

Result<Spec> ParseSpecJson(std::string_view text) {
  json::error_code failed;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed) return Invalid("not JSON: " + failed.message());
  if (!value.is_object())
    return Invalid("not a spec", R"(an object: {"tenant":{"name":"acme",…},…})");
  return ReadSpecJson(value.get_object());
}

Status SetSpecKey(Spec& spec, std::string_view path, const json::value& value) {
  const SpecKey* key = FindSpecKey(path);
  if (key == nullptr)
    return Invalid("unknown key " + std::string(path.substr(0, 100)), KeyHint(path));
  if (value.is_null()) {
    key->unset(spec);
    return {};
  }
  if (auto read = key->read(value, spec); !read) return read.error().Within(path);
  return {};
}

Status SetSpecKeyText(Spec& spec, std::string_view path, std::string_view text) {
  json::error_code failed;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  // hostname=123 is a text, although JSON reads a number.
  if (!failed && !value.is_string()) {
    Spec tried = spec;
    if (SetSpecKey(tried, path, value)) {
      spec = std::move(tried);
      return {};
    }
  }
  return SetSpecKey(spec, path, json::string(text.data(), text.size()));
}

Spec Effective(const Spec& written, const Spec& plan) {
  Spec spec = written;
  for (const SpecKey& key : SpecKeys())
    if (key.write(spec).is_null())
      if (const json::value value = key.write(plan); !value.is_null())
        static_cast<void>(key.read(value, spec));  // what was written can be read
  if (!spec.hostname) spec.hostname = spec.name;
  if (!spec.start) spec.start = {"/bin/sh", "-c", kDefaultStart};
  if (!spec.env) spec.env.emplace();
  if (!spec.restart) spec.restart = supervisor::RestartPolicy::kNo;
  if (!spec.stop_timeout) spec.stop_timeout = std::chrono::seconds(10);
  for (auto* limit : {&spec.memory_bytes, &spec.pids, &spec.disk_bytes, &spec.connections,
                      &spec.connection_rate, &spec.destination_rate, &spec.half_open,
                      &spec.udp_flows, &spec.bandwidth_in, &spec.bandwidth_out})
    if (!*limit) *limit = 0;
  if (!spec.idle_timeout) spec.idle_timeout = std::chrono::milliseconds(0);
  if (!spec.cpu) spec.cpu = 0;
  if (!spec.publish) spec.publish.emplace();
  if (!spec.tls) spec.tls.emplace();
  if (!spec.egress_allowed) spec.egress_allowed = true;
  for (auto* rules : {&spec.egress_allow, &spec.egress_deny})
    if (!*rules) rules->emplace();
  if (!spec.allow_set_hostname) spec.allow_set_hostname = true;
  for (auto* flag : {&spec.allow_raw_sockets, &spec.allow_mount, &spec.allow_mlock})
    if (!*flag) *flag = false;
  return spec;
}

}  // namespace bailey::tenants
