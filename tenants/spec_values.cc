#include "tenants/spec_values.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/publish_rule_json.h"
#include "base/units.h"
#include "supervisor/image_tools.h"
#include "supervisor/loop_device.h"
#include "tenants/templates/template_store.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;
using supervisor::RestartPolicy;

constexpr std::array<std::pair<const char*, RestartPolicy>, 3> kRestartNames = {{
    {"no", RestartPolicy::kNo},
    {"on-failure", RestartPolicy::kOnFailure},
    {"always", RestartPolicy::kAlways},
}};
constexpr uint64_t kLeastMemory = 1 << 20;
constexpr uint64_t kLeastBandwidth = 4096, kMostBandwidth = uint64_t{1} << 40;
constexpr std::chrono::milliseconds kShortestIdle{1000};
constexpr uint64_t kMostDisk = uint64_t{1} << 50;
constexpr std::chrono::milliseconds kLongestStop = std::chrono::hours(24);

struct ReservedRange {
  const char* range;
  const char* why;
};
constexpr auto kReserved = std::to_array<ReservedRange>({
    {"0.0.0.0/8", "it stands for \"any address\""},
    {"127.0.0.0/24", "the host's own loopback services and the resolver stub live there"},
    {"169.254.0.0/16", "link-local addresses are the link's, metadata services live there"},
    {"224.0.0.0/4", "it is a multicast address"},
    {"240.0.0.0/4", "it is reserved"},
    {"::/128", "it stands for \"any address\""},
    {"::1/128", "it is the loopback address"},
    {"fe80::/10", "link-local addresses need a link"},
    {"ff00::/8", "it is a multicast address"},
});

std::string Plain(const json::string& text) { return {text.data(), text.size()}; }

Error Wrong(const json::value& value, const char* what, const char* hint) {
  return Invalid(std::string("not ") + what + ": " + Shown(value), hint);
}

bool IsNone(const json::value& value) { return value.is_string() && value.get_string() == "none"; }

Result<uint64_t> ReadCount(const json::value& value, uint64_t most) {
  if (IsNone(value)) return uint64_t{0};
  json::error_code failed;
  const auto count = value.to_number<uint64_t>(failed);
  if (failed || count == 0 || count > most)
    return Wrong(value, "a count", "write a whole number above 0, or \"none\" for no limit");
  return count;
}

Result<uint64_t> ReadSize(const json::value& value) {
  if (IsNone(value)) return uint64_t{0};
  if (value.is_string()) return ParseSize(Plain(value.get_string()));
  json::error_code failed;
  const auto bytes = value.to_number<uint64_t>(failed);
  if (failed) return Wrong(value, "a size", "write it like \"512M\", \"1.5G\" or 4096");
  return bytes;
}

// ::ffff:192.0.2.7 is 192.0.2.7 to the kernel, so it must not count as another address.
IpAddress Normalised(const IpAddress& ip) {
  static constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const auto& bytes = ip.bytes();
  if (!ip.is_v6() || !std::equal(kMapped.begin(), kMapped.end(), bytes.begin())) return ip;
  uint32_t v4 = 0;
  for (size_t i = 12; i < 16; ++i) v4 = v4 << 8 | bytes[i];
  return IpAddress::V4(v4);
}

bool IsHostname(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  };
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, fits) &&
         name.front() != '-' && name.front() != '.' && name.back() != '-' && name.back() != '.' &&
         name.find("..") == std::string::npos;
}

Result<std::vector<std::string>> ReadTexts(const json::value& value, const char* what,
                                           const char* hint) {
  const json::array* list = value.if_array();
  if (list == nullptr) return Wrong(value, what, hint);
  std::vector<std::string> texts;
  for (const json::value& item : *list) {
    auto text = TextValue::Read(item);
    if (!text) return text.error();
    texts.push_back(std::move(*text));
  }
  return texts;
}

}  // namespace

std::string Shown(const json::value& value) {
  std::string text = json::serialize(value);
  constexpr size_t kLongest = 80;
  if (text.size() <= kLongest) return text;
  size_t cut = kLongest;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;  // whole UTF-8
  return text.substr(0, cut) + "…";
}

Result<std::string> TextValue::Read(const json::value& value) {
  if (!value.is_string()) return Wrong(value, "a text", "write it in double quotes");
  std::string text = Plain(value.get_string());
  if (text.find('\0') != std::string::npos) return Wrong(value, "a text", "no zero bytes");
  return text;
}
json::value TextValue::Write(const std::string& text) { return json::string(text); }

Result<std::string> TenantNameValue::Read(const json::value& value) {
  auto name = TextValue::Read(value);
  if (!name) return name;
  BAILEY_TRY(CheckTenantName(*name));
  return name;
}

Result<std::string> TemplateNameValue::Read(const json::value& value) {
  auto name = TextValue::Read(value);
  if (!name) return name;
  BAILEY_TRY(CheckTemplateName(*name));
  return name;
}

Result<std::string> PlanNameValue::Read(const json::value& value) {
  auto name = TextValue::Read(value);
  if (!name) return name;
  if (!CheckTenantName(*name))
    return Wrong(value, "a plan's name", "use up to 32 of a-z, 0-9 and '-'");
  return name;
}

Result<std::string> HostnameValue::Read(const json::value& value) {
  auto name = TextValue::Read(value);
  if (!name) return name;
  if (!IsHostname(*name))
    return Wrong(value, "a host name", "up to 64 letters, digits, '-' and '.': www.acme.example");
  return name;
}

Result<IpAddress> IpValue::Read(const json::value& value) {
  auto text = TextValue::Read(value);
  if (!text) return text.error();
  auto parsed = IpAddress::Parse(*text);
  if (!parsed) return parsed.error();
  const IpAddress ip = Normalised(*parsed);
  for (const ReservedRange& row : kReserved)
    if (Cidr::Parse(row.range)->Contains(ip))
      return Invalid("not an address for a tenant: \"" + *text + "\": " + row.why,
                     "give it one of the host's addresses, or one that is routed to the host");
  return ip;
}
json::value IpValue::Write(const IpAddress& ip) { return json::string(ip.ToString()); }

Result<std::vector<std::string>> CommandValue::Read(const json::value& value) {
  constexpr const char* kHint = "a list: [\"/bin/sh\", \"/etc/rc\"]";
  auto argv = ReadTexts(value, "a command", kHint);
  if (!argv) return argv;
  if (argv->empty() || argv->front().empty()) return Wrong(value, "a command", kHint);
  return argv;
}
json::value CommandValue::Write(const std::vector<std::string>& argv) {
  return json::array(argv.begin(), argv.end());
}

Result<std::map<std::string, std::string>> EnvironmentValue::Read(const json::value& value) {
  constexpr const char* kHint = "a table: { LANG = \"C.UTF-8\" }";
  const json::object* object = value.if_object();
  if (object == nullptr) return Wrong(value, "an environment", kHint);
  std::map<std::string, std::string> env;
  for (const auto& member : *object) {
    const std::string name(member.key());
    if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos)
      return Wrong(json::value(json::string(name)), "a variable's name", kHint);
    auto text = TextValue::Read(member.value());
    if (!text) return text.error();
    env[name] = std::move(*text);
  }
  return env;
}
json::value EnvironmentValue::Write(const std::map<std::string, std::string>& env) {
  json::object object;
  for (const auto& [name, text] : env) object[name] = text;
  return object;
}

Result<RestartPolicy> RestartValue::Read(const json::value& value) {
  for (const auto& [name, policy] : kRestartNames)
    if (value.is_string() && value.get_string() == name) return policy;
  return Wrong(value, "a restart policy", "no, on-failure or always");
}
json::value RestartValue::Write(RestartPolicy policy) {
  for (const auto& [name, row] : kRestartNames)
    if (row == policy) return json::string(name);
  return nullptr;
}

Result<std::chrono::milliseconds> StopTimeoutValue::Read(const json::value& value) {
  auto text = TextValue::Read(value);
  if (!text) return Wrong(value, "a duration", "write it like \"10s\", \"500ms\" or \"2m\"");
  auto timeout = ParseDuration(*text);
  if (timeout && *timeout > kLongestStop) return Invalid("longer than a day: " + Shown(value));
  return timeout;
}
json::value StopTimeoutValue::Write(std::chrono::milliseconds timeout) {
  return json::string(FormatDuration(timeout));
}

Result<double> CoresValue::Read(const json::value& value) {
  if (IsNone(value)) return 0.0;
  json::error_code failed;
  const auto cores = value.to_number<double>(failed);
  // The kernel's least quota is 1 ms in 100 ms.
  if (failed || !std::isfinite(cores) || cores < 0.01 || cores > 100'000)
    return Wrong(value, "a number of cores", "write 0.01 or more, for example 1.5; or \"none\"");
  return cores;
}
json::value CoresValue::Write(double cores) {
  if (cores == 0) return json::string("none");
  return cores;
}

Result<uint64_t> MemoryValue::Read(const json::value& value) {
  auto bytes = ReadSize(value);
  if (bytes && !IsNone(value) && *bytes < kLeastMemory)
    return Wrong(value, "enough memory to run anything", "at least 1M; or \"none\" for no limit");
  return bytes;
}
json::value MemoryValue::Write(uint64_t bytes) {
  if (bytes == 0) return json::string("none");
  const std::string text = FormatSize(bytes);
  // FormatSize rounds: a size that it cannot say is written out.
  const auto same = ParseSize(text);
  return json::string(same && *same == bytes ? text : std::to_string(bytes));
}

Result<uint64_t> DiskValue::Read(const json::value& value) {
  auto bytes = ReadSize(value);
  if (!bytes || IsNone(value)) return bytes;
  if (*bytes < supervisor::kLeastDisk || *bytes > kMostDisk)
    return Wrong(value, "a size for a disk", "16M to 1024T; or \"none\" for no limit");
  return *bytes / supervisor::kImageBlock * supervisor::kImageBlock;
}

Result<uint64_t> PidsValue::Read(const json::value& value) { return ReadCount(value, 1 << 22); }
json::value PidsValue::Write(uint64_t count) {
  if (count == 0) return json::string("none");
  return count;
}

Result<uint64_t> ConnectionsValue::Read(const json::value& value) {
  return ReadCount(value, 10'000'000);
}

Result<uint64_t> BandwidthValue::Read(const json::value& value) {
  auto bytes = ReadSize(value);
  if (bytes && !IsNone(value) && (*bytes < kLeastBandwidth || *bytes > kMostBandwidth))
    return Wrong(value, "a bandwidth",
                 "bytes a second, 4K or more: \"10M\"; or \"none\" for no limit");
  return bytes;
}

Result<std::chrono::milliseconds> IdleTimeoutValue::Read(const json::value& value) {
  if (IsNone(value)) return std::chrono::milliseconds(0);
  auto timeout = StopTimeoutValue::Read(value);
  if (timeout && *timeout < kShortestIdle)
    return Wrong(value, "a time to be idle", "a second or more: \"10m\"; or \"none\"");
  return timeout;
}
json::value IdleTimeoutValue::Write(std::chrono::milliseconds timeout) {
  if (timeout.count() == 0) return json::string("none");
  return StopTimeoutValue::Write(timeout);
}

Result<Publish> PublishValue::Read(const json::value& value) {
  constexpr const char* kPortHint = "ports are 1 to 65535";
  constexpr const char* kRuleHint = "write it like 80, 10000-10099 or 53/udp";
  constexpr const char* kHint =
      "\"listening\", or a list of ports: [80, \"10000-10099\", \"53/udp\"]";
  if (value.is_string() && value.get_string() == "listening") return Publish{};
  const json::array* list = value.if_array();
  if (list == nullptr) return Wrong(value, "what to publish", kHint);
  Publish publish{false, {}};
  for (const json::value& item : *list) {
    const auto rule = PublishRuleFromJson(item);
    if (!rule) return Wrong(item, "a port", item.is_string() ? kRuleHint : kPortHint);
    publish.ports.push_back(*rule);
  }
  std::ranges::sort(publish.ports);
  publish.ports.erase(std::unique(publish.ports.begin(), publish.ports.end()), publish.ports.end());
  return publish;
}
json::value PublishValue::Write(const Publish& publish) {
  if (publish.listening) return json::string("listening");
  return ToJson(publish.ports);
}

Result<std::vector<supervisor::TlsSite>> TlsValue::Read(const json::value& value) {
  return supervisor::TlsSitesFromJson(value);
}
json::value TlsValue::Write(const std::vector<supervisor::TlsSite>& sites) {
  return supervisor::ToJson(sites);
}

Result<bool> VerdictValue::Read(const json::value& value) {
  if (value.is_string() && value.get_string() == "allow") return true;
  if (value.is_string() && value.get_string() == "deny") return false;
  return Wrong(value, "a default", "\"allow\" or \"deny\"");
}
json::value VerdictValue::Write(bool allowed) { return json::string(allowed ? "allow" : "deny"); }

Result<std::vector<EgressRule>> RulesValue::Read(const json::value& value) {
  auto texts = ReadTexts(value, "a list of rules", "a list: [\"10.0.0.5:3306\", \"*:25\"]");
  if (!texts) return texts.error();
  std::vector<EgressRule> rules;
  for (const std::string& text : *texts) {
    auto rule = EgressRule::Parse(text);
    if (!rule) return rule.error();
    rules.push_back(*rule);
  }
  return rules;
}
json::value RulesValue::Write(const std::vector<EgressRule>& rules) {
  json::array texts;
  for (const EgressRule& rule : rules) texts.emplace_back(rule.ToString());
  return texts;
}

Result<bool> FlagValue::Read(const json::value& value) {
  if (!value.is_bool()) return Wrong(value, "true or false", "without quotes: true or false");
  return value.get_bool();
}
json::value FlagValue::Write(bool flag) { return flag; }

}  // namespace bailey::tenants
