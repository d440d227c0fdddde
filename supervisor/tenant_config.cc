#include "supervisor/tenant_config.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/publish_rule_json.h"
#include "supervisor/loop_device.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;

constexpr uint32_t kIdsPerTenant = 65536;  // 65535 inside, and one for the proxy
constexpr std::array<std::pair<const char*, RestartPolicy>, 3> kRestartNames = {{
    {"no", RestartPolicy::kNo},
    {"on-failure", RestartPolicy::kOnFailure},
    {"always", RestartPolicy::kAlways},
}};

// Reads the members of one object by name; remembers the first mistake, and which keys were known.
class Reader {
 public:
  Reader(const json::object& object, std::string where, std::optional<Error>& error)
      : object_(object), where_(std::move(where)), error_(error) {}

  const json::value* Find(const char* key) {
    known_.insert(key);
    return object_.if_contains(key);
  }
  void Refuse(const char* key, const char* wanted) {
    if (!error_) error_ = Invalid("configuration: " + where_ + key + " must be " + wanted);
  }
  void Text(const char* key, std::string& out) {
    const json::value* value = Find(key);
    if (value == nullptr) return;
    if (const json::string* text = value->if_string(); text != nullptr) {
      out.assign(text->data(), text->size());
      if (out.find('\0') != std::string::npos) Refuse(key, "text without a zero byte");
    } else {
      Refuse(key, "text");
    }
  }
  void Texts(const char* key, std::vector<std::string>& out) {
    const json::value* value = Find(key);
    if (value == nullptr) return;
    const json::array* list = value->if_array();
    if (list == nullptr) return Refuse(key, "a list of texts");
    out.clear();
    for (const json::value& item : *list) {
      const json::string* text = item.if_string();
      if (text == nullptr || text->find('\0') != json::string::npos)
        return Refuse(key, "a list of texts");
      out.emplace_back(text->data(), text->size());
    }
  }
  void Number(const char* key, uint64_t& out) {
    const json::value* value = Find(key);
    if (value == nullptr) return;
    json::error_code failed;
    out = value->to_number<uint64_t>(failed);
    if (failed) Refuse(key, "a whole number that is not negative");
  }
  void Flag(const char* key, bool& out) {
    const json::value* value = Find(key);
    if (value == nullptr) return;
    if (value->is_bool())
      out = value->get_bool();
    else
      Refuse(key, "true or false");
  }
  // The members of an object of objects or scalars; an empty one when absent.
  const json::object& Object(const char* key) {
    static const json::object kEmpty;
    const json::value* value = Find(key);
    if (value == nullptr) return kEmpty;
    if (const json::object* object = value->if_object(); object != nullptr) return *object;
    Refuse(key, "an object");
    return kEmpty;
  }
  Reader Inner(const char* key) { return {Object(key), where_ + key + ".", error_}; }
  void RefuseUnknown() {
    for (const auto& member : object_)
      if (!known_.contains(std::string(member.key())) && !error_)
        error_ = Invalid("configuration: unknown key " + where_ + std::string(member.key()));
  }

 private:
  const json::object& object_;
  std::string where_;
  std::optional<Error>& error_;
  std::set<std::string> known_;
};

void ReadLayers(Reader in, Layers& out) {
  const json::value* lowers = in.Find("lowers");
  const json::array* list = lowers != nullptr ? lowers->if_array() : nullptr;
  if (list == nullptr || list->empty()) return in.Refuse("lowers", "a list of layers");
  for (const json::value& item : *list) {
    LowerLayer& layer = out.lowers.emplace_back();
    const json::object* object = item.if_object();
    const json::value* path = object != nullptr ? object->if_contains("path") : nullptr;
    if (path == nullptr || !path->is_string()) return in.Refuse("lowers", "objects with a path");
    layer.path = json::value_to<std::string>(*path);
    const json::value* binds = object->if_contains("binds");
    if (binds == nullptr) continue;
    if (!binds->is_object()) return in.Refuse("lowers", "objects whose binds are an object");
    for (const auto& bind : binds->get_object()) {
      if (!bind.value().is_string()) return in.Refuse("lowers", "objects whose binds are paths");
      layer.binds[std::string(bind.key())] = json::value_to<std::string>(bind.value());
    }
  }
  in.Text("upper", out.upper);
  in.Text("work", out.work);
  in.Text("image", out.image);
  in.RefuseUnknown();
}

void ReadProcess(Reader in, ProcessSpec& out) {
  in.Texts("start", out.start);
  in.Texts("env", out.env);
  std::string restart = "no";
  in.Text("restart", restart);
  const auto* const policy =
      std::find_if(kRestartNames.begin(), kRestartNames.end(),
                   [&restart](const auto& row) { return row.first == restart; });
  if (policy == kRestartNames.end())
    in.Refuse("restart", "no, on-failure or always");
  else
    out.restart = policy->second;
  uint64_t timeout = static_cast<uint64_t>(out.stop_timeout.count());
  in.Number("stopTimeoutMs", timeout);
  constexpr uint64_t kDay = 86'400'000;
  if (timeout > kDay) in.Refuse("stopTimeoutMs", "at most a day");
  out.stop_timeout = std::chrono::milliseconds(std::min(timeout, kDay));
  in.RefuseUnknown();
}

void ReadLimits(Reader in, Limits& out) {
  if (const json::value* cpu = in.Find("cpu"); cpu != nullptr) {
    json::error_code failed;
    out.cpu = cpu->to_number<double>(failed);
    // Below 0.01 core the kernel refuses the quota (1 ms in 100 ms is its least).
    if (failed || !std::isfinite(out.cpu) || out.cpu > 100'000 || (out.cpu != 0 && out.cpu < 0.01))
      in.Refuse("cpu", "a number of cores, 0.01 or more");
  }
  in.Number("memory", out.memory_bytes);
  in.Number("pids", out.pids);
  in.Number("connections", out.connections);
  in.Number("disk", out.disk_bytes);
  if (out.disk_bytes % kImageBlock != 0) in.Refuse("disk", "a multiple of 4096");
  in.Flag("oomGroup", out.oom_group);
  in.RefuseUnknown();
}

void ReadPublish(Reader& in, TenantConfig& out) {
  const json::value* publish = in.Find("publish");
  if (publish == nullptr || publish->is_null()) return;
  out.publish = PublishRulesFromJson(*publish);
  if (!out.publish) in.Refuse("publish", "null or a list of ports");
}

void ReadTls(Reader& in, TenantConfig& out) {
  const json::value* tls = in.Find("tls");
  if (tls == nullptr) return;
  auto sites = TlsSitesFromJson(*tls);
  if (!sites) return in.Refuse("tls", "a list of sites");
  out.tls = std::move(*sites);
}

bool IsAbsolute(const std::string& path) {
  return path.size() > 1 && path.front() == '/' && (path + '/').find("/../") == std::string::npos;
}

bool IsName(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !name.empty() && name.size() <= 32 && name.front() >= 'a' && name.front() <= 'z' &&
         std::all_of(name.begin(), name.end(), fits);
}

// "bailey/acme": two plain components.
bool IsCgroupName(const std::string& path) {
  const size_t slash = path.find('/');
  return slash != std::string::npos && IsName(path.substr(0, slash)) &&
         IsName(path.substr(slash + 1));
}

Status CheckConfig(const TenantConfig& c) {
  const auto must = [](bool holds, const char* what) -> Status {
    if (holds) return {};
    return Invalid(std::string("configuration: ") + what);
  };
  BAILEY_TRY(must(IsName(c.name), "name must be [a-z][a-z0-9-]{0,31}"));
  BAILEY_TRY(must(c.hostname.size() <= 64, "hostname must have at most 64 characters"));
  BAILEY_TRY(must(c.uid_base >= kIdsPerTenant && c.uid_base < 0xffff0000U - kIdsPerTenant,
                  "uidBase must leave room for the host's ids and for 65536 of the tenant"));
  BAILEY_TRY(must(IsCgroupName(c.cgroup), "cgroup must be two names, such as bailey/acme"));
  BAILEY_TRY(must(!c.process.start.empty(), "process.start must have at least a program"));
  BAILEY_TRY(must(IsAbsolute(c.layers.upper) && IsAbsolute(c.layers.work),
                  "layers.upper and layers.work must be absolute paths"));
  BAILEY_TRY(must(c.layers.image.empty() ? c.limits.disk_bytes == 0 : IsAbsolute(c.layers.image),
                  "layers.image must be an absolute path, and there with a disk limit"));
  for (const LowerLayer& lower : c.layers.lowers) {
    BAILEY_TRY(must(IsAbsolute(lower.path), "layers.lowers must have absolute paths"));
    for (const auto& [inside, host] : lower.binds)
      BAILEY_TRY(must(IsAbsolute("/" + inside) && IsAbsolute(host),
                      "binds must name a relative path inside and an absolute one of the host"));
  }
  for (const std::string& path : c.hide)
    BAILEY_TRY(must(IsAbsolute(path), "hide must be absolute paths"));
  return {};
}

json::value TextList(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

json::object LimitsObject(const Limits& limits) {
  return {{"cpu", limits.cpu},         {"memory", limits.memory_bytes},
          {"pids", limits.pids},       {"connections", limits.connections},
          {"disk", limits.disk_bytes}, {"oomGroup", limits.oom_group}};
}

json::array LowersArray(const Layers& layers) {
  json::array lowers;
  for (const LowerLayer& layer : layers.lowers) {
    json::object binds;
    for (const auto& [inside, host] : layer.binds) binds[inside] = host;
    lowers.push_back(json::object{{"path", layer.path}, {"binds", binds}});
  }
  return lowers;
}

Result<json::object> ParseObject(std::string_view text) {
  json::error_code failed;
  json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed) return Invalid("configuration is not JSON: " + failed.message());
  if (!value.is_object()) return Invalid("configuration is not a JSON object");
  return std::move(value.get_object());
}

void ReadAddress(Reader& in, TenantConfig& config, std::optional<Error>& error) {
  std::string ip;
  in.Text("ip", ip);
  const auto address = IpAddress::Parse(ip);
  if (address)
    config.ip = *address;
  else if (!error)
    error = Invalid("configuration: ip must be an IPv4 or IPv6 address");
  in.Text("interface", config.interface);
}

}  // namespace

Result<TenantConfig> ParseTenantConfig(std::string_view text) {
  const auto object = ParseObject(text);
  if (!object) return object.error();
  std::optional<Error> error;
  TenantConfig config;
  Reader in(*object, "", error);
  in.Text("name", config.name);
  in.Text("hostname", config.hostname);
  uint64_t base = 0;
  in.Number("uidBase", base);
  config.uid_base =
      static_cast<uint32_t>(std::min<uint64_t>(base, std::numeric_limits<uint32_t>::max()));
  ReadAddress(in, config, error);
  ReadLayers(in.Inner("layers"), config.layers);
  in.Texts("hide", config.hide);
  ReadProcess(in.Inner("process"), config.process);
  ReadLimits(in.Inner("limits"), config.limits);
  Reader allow = in.Inner("allow");
  for (const auto& member : in.Object("allow"))
    allow.Flag(std::string(member.key()).c_str(), config.allow[std::string(member.key())]);
  in.Text("cgroup", config.cgroup);
  in.Text("consoleLog", config.console_log);
  in.Text("resolvConf", config.resolv_conf);
  ReadPublish(in, config);
  ReadTls(in, config);
  config.network = json::serialize(in.Object("network"));
  in.Text("programs", config.programs);
  in.RefuseUnknown();
  if (error) return *error;
  if (config.hostname.empty()) config.hostname = config.name;
  BAILEY_TRY(CheckConfig(config));
  return config;
}

std::string FormatTenantConfig(const TenantConfig& config) {
  const auto* const restart =
      std::find_if(kRestartNames.begin(), kRestartNames.end(),
                   [&](const auto& row) { return row.second == config.process.restart; });
  json::object allow;
  for (const auto& [name, value] : config.allow) allow[name] = value;
  json::value publish;
  if (config.publish) publish = ToJson(*config.publish);
  const json::object object = {
      {"name", config.name},
      {"hostname", config.hostname},
      {"uidBase", config.uid_base},
      {"ip", config.ip.ToString()},
      {"interface", config.interface},
      {"layers",
       {{"lowers", LowersArray(config.layers)},
        {"upper", config.layers.upper},
        {"work", config.layers.work},
        {"image", config.layers.image}}},
      {"hide", TextList(config.hide)},
      {"process",
       {{"start", TextList(config.process.start)},
        {"env", TextList(config.process.env)},
        {"restart", restart->first},
        {"stopTimeoutMs", config.process.stop_timeout.count()}}},
      {"limits", LimitsObject(config.limits)},
      {"allow", allow},
      {"cgroup", config.cgroup},
      {"consoleLog", config.console_log},
      {"resolvConf", config.resolv_conf},
      {"publish", publish},
      {"tls", ToJson(config.tls)},
      {"network", json::parse(config.network)},
      {"programs", config.programs},
  };
  return json::serialize(object);
}

Result<Limits> ParseLimits(std::string_view text, const Limits& current) {
  const auto object = ParseObject(text);
  if (!object) return object.error();
  std::optional<Error> error;
  Limits limits = current;
  ReadLimits(Reader(*object, "limits.", error), limits);
  if (error) return *error;
  return limits;
}

}  // namespace bailey::supervisor
