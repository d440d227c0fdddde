#include "tenants/config.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "tenants/spec_toml.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr const char* kUsualRuntime = "/run/bailey";
constexpr uint32_t kLastIds = 0xffff0000U;  // (uid_t)-1 and its neighbours mean "nobody" to some

struct BuiltInPlan {
  const char* name;
  const char* toml;
};
constexpr auto kBuiltInPlans = std::to_array<BuiltInPlan>({
    {"small", "[limits]\ncpu = 1\nmemory = '512M'\npids = 256\nconnections = 2000\n"},
    {"medium", "[limits]\ncpu = 2\nmemory = '2G'\npids = 1024\nconnections = 10000\n"},
    {"large", "[limits]\ncpu = 4\nmemory = '8G'\npids = 4096\nconnections = 50000\n"},
});

Status TakePath(const char* variable, std::string& path) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return {};
  if (*value != '/') return Invalid(std::string(variable) + " must be an absolute path");
  path = std::filesystem::path(value).lexically_normal();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  return {};
}

// FNV-1a: the same on every machine and in every release.
uint32_t Hash(std::string_view text) {
  uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

Result<std::string> Text(const json::value& value) {
  if (!value.is_string()) return Invalid("not a text", "write it in double quotes");
  return std::string(value.get_string().data(), value.get_string().size());
}

// "192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53".
Result<Endpoint> ParseEndpoint(std::string_view text, std::optional<uint16_t> usual_port) {
  const auto rule = EgressRule::Parse(text);
  const auto alone = IpAddress::Parse(text);
  if (alone && usual_port) return Endpoint{*alone, *usual_port};
  if (!rule || !rule->range || rule->ports.first == 0 || rule->ports.first != rule->ports.last ||
      rule->range->prefix != rule->range->address.bits())
    return Invalid("not an address and port: \"" + std::string(text) + "\"",
                   "write it like 127.0.0.1:9748");
  return Endpoint{rule->range->address, rule->ports.first};
}

Status ReadMetrics(const json::value& value, DaemonConfig& config) {
  const auto text = Text(value);
  if (!text) return text.error();
  config.metrics.reset();
  if (text->empty()) return {};
  const auto endpoint = ParseEndpoint(*text, std::nullopt);
  if (!endpoint) return endpoint.error();
  config.metrics = *endpoint;
  return {};
}

Status ReadInterface(const json::value& value, DaemonConfig& config) {
  const auto text = Text(value);
  if (!text) return text.error();
  // IFNAMSIZ, and what the kernel's dev_valid_name() refuses.
  if (text->size() > 15 || text->find_first_of("/: \t\n") != std::string::npos)
    return Invalid("not an interface: \"" + *text + "\"", "ip link shows those that exist");
  config.interface = *text;
  return {};
}

Status ReadResolvers(const json::value& value, DaemonConfig& config) {
  const json::array* list = value.if_array();
  if (list == nullptr) return Invalid("not a list", "write it like [\"192.0.2.53\"]");
  config.resolvers.emplace();
  for (const json::value& item : *list) {
    const auto text = Text(item);
    if (!text) return text.error();
    const auto endpoint = ParseEndpoint(*text, 53);
    if (!endpoint) return endpoint.error();
    config.resolvers->push_back(*endpoint);
  }
  return {};
}

Status ReadFirstId(const json::value& value, DaemonConfig& config) {
  json::error_code failed;
  const auto first = value.to_number<uint32_t>(failed);
  if (failed || first < kIdsPerTenant || first % kIdsPerTenant != 0 ||
      first >= kLastIds - kIdsPerTenant)
    return Invalid("not a first id", "a multiple of 65536 above 0: ids below are the host's");
  config.first_id = first;
  return {};
}

struct ConfigKey {
  const char* path;
  Status (*read)(const json::value& value, DaemonConfig& config);
};
constexpr auto kConfigKeys = std::to_array<ConfigKey>({
    {"daemon.metrics", ReadMetrics},
    {"network.interface", ReadInterface},
    {"network.resolvers", ReadResolvers},
    {"ids.first", ReadFirstId},
});

Status ReadKey(const TomlDocument& document, const std::string& path, const json::value& value,
               DaemonConfig& config) {
  for (const ConfigKey& key : kConfigKeys) {
    if (path != key.path) continue;
    auto read = key.read(value, config);
    return read ? read : document.At(path, false, read.error().Within(path));
  }
  std::string known;
  for (const ConfigKey& key : kConfigKeys)
    known += std::string(known.empty() ? "" : ", ") + key.path;
  return document.At(path, true, Invalid("unknown key " + path, "there are: " + known));
}

}  // namespace

Result<Paths> Paths::FromEnvironment() {
  Paths paths;
  BAILEY_TRY(TakePath("BAILEY_CONFIG", paths.config));
  BAILEY_TRY(TakePath("BAILEY_STATE_DIR", paths.state));
  BAILEY_TRY(TakePath("BAILEY_RUNTIME_DIR", paths.runtime));
  return paths;
}

std::string Paths::Plans() const {
  return std::filesystem::path(config).parent_path().string() + "/plans.d";
}

std::string Paths::Cgroup(const std::string& name) const {
  if (runtime == kUsualRuntime) return "bailey/" + name;
  std::array<char, 16> instance{};
  std::snprintf(instance.data(), instance.size(), "%08x", Hash(runtime));
  return std::string("bailey-") + instance.data() + "/" + name;
}

uint32_t DaemonConfig::Slots() const { return (kLastIds - first_id) / kIdsPerTenant - 1; }

Result<DaemonConfig> ParseDaemonConfig(std::string_view toml) {
  const auto document = ParseToml(toml);
  if (!document) return document.error();
  DaemonConfig config;
  for (const auto& section : document->root) {
    const std::string name(section.key());
    if (!section.value().is_object()) {
      BAILEY_TRY(ReadKey(*document, name, section.value(), config));
      continue;
    }
    for (const auto& member : section.value().get_object())
      BAILEY_TRY(
          ReadKey(*document, name + "." + std::string(member.key()), member.value(), config));
  }
  return config;
}

Result<DaemonConfig> LoadDaemonConfig(const Paths& paths) {
  const auto text = ReadFile(paths.config);
  if (!text && text.error().code == std::errc::no_such_file_or_directory) return DaemonConfig{};
  if (!text) return text.error();
  auto config = ParseDaemonConfig(*text);
  if (!config) return config.error().Within(paths.config);
  return config;
}

Result<Spec> LoadPlan(const Paths& paths, const std::string& name) {
  BAILEY_TRY(CheckTenantName(name));
  const std::string path = paths.Plans() + "/" + name + ".toml";
  const auto text = ReadFile(path);
  if (text) {
    auto plan = PlanFromToml(*text);
    if (!plan) return plan.error().Within(path);
    return plan;
  }
  if (text.error().code != std::errc::no_such_file_or_directory) return text.error();
  for (const BuiltInPlan& plan : kBuiltInPlans)
    if (name == plan.name) return PlanFromToml(plan.toml);
  return Errno("plan " + name, ENOENT)
      .WithHint("there are small, medium, large and the files in " + paths.Plans());
}

}  // namespace bailey::tenants
