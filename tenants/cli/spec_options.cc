#include "tenants/cli/spec_options.h"

#include <CLI/CLI.hpp>
#include <array>
#include <boost/json.hpp>
#include <cctype>
#include <sstream>

#include "tenants/spec_keys.h"

namespace bailey::tenants {
namespace {

// An option of create and launch that stands for one key of the spec.
struct SpecOption {
  const char* flag;
  const char* key;
  const char* value;
  const char* help;
  const char* group;
};
constexpr auto kSpecOptions = std::to_array<SpecOption>({
    {"--ip", "tenant.ip", "IP", "the tenant's one address, which the host has", "Tenant"},
    {"--template", "tenant.template", "T", "its root (default: the only template there is)",
     "Tenant"},
    {"--plan", "tenant.plan", "P", "the defaults to start from", "Tenant"},
    {"--hostname", "tenant.hostname", "NAME", "its host name (default: the tenant's name)",
     "Tenant"},
    {"--restart", "process.restart", "POLICY", "no, on-failure or always", "Process"},
    {"--stop-timeout", "process.stop_timeout", "TIME", "from TERM to KILL, e.g. 10s", "Process"},
    {"--cpu", "limits.cpu", "CORES", "e.g. 1.5", "Limits"},
    {"--memory", "limits.memory", "SIZE", "e.g. 512M", "Limits"},
    {"--pids", "limits.pids", "N", "tasks at once", "Limits"},
    {"--disk", "limits.disk", "SIZE", "e.g. 10G", "Limits"},
    {"--connections", "limits.connections", "N", "connections at once", "Limits"},
    {"--connection-rate", "limits.connection_rate", "N", "new connections a second, each way",
     "Limits"},
    {"--connection-rate-per-destination", "limits.connection_rate_per_destination", "N",
     "of those, out to one address", "Limits"},
    {"--half-open", "limits.half_open", "N", "connects without an answer yet", "Limits"},
    {"--udp-flows", "limits.udp_flows", "N", "UDP flows at once", "Limits"},
    {"--bandwidth-in", "limits.bandwidth_in", "SIZE", "bytes a second to the tenant, e.g. 10M",
     "Limits"},
    {"--bandwidth-out", "limits.bandwidth_out", "SIZE", "bytes a second from it", "Limits"},
    {"--idle-timeout", "limits.idle_timeout", "TIME", "ends connections on which nothing moves",
     "Limits"},
    {"--publish", "network.publish", "PORTS",
     "listening (all it listens on), or 80,8000-8099,53/udp", "Network"},
    {"--egress", "network.egress.default", "VERDICT", "allow or deny what no rule speaks of",
     "Network"},
});
// Options that may be given several times, each a rule of a list.
constexpr auto kRuleOptions = std::to_array<SpecOption>({
    {"--allow-egress", "network.egress.allow", "RULE", "e.g. 10.0.0.5:3306; may be repeated",
     "Network"},
    {"--deny-egress", "network.egress.deny", "RULE", "e.g. *:25; may be repeated", "Network"},
});

// A list of ports is a list, "listening" a word.
std::string PublishText(const std::string& text) {
  if (text == "none") return "[]";
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) == 0) return text;
  std::string list;
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    const bool number = item.find_first_not_of("0123456789") == std::string::npos;
    list += (list.empty() ? "" : ",") + (number ? item : boost::json::serialize(item));
  }
  return "[" + list + "]";
}

std::string JsonList(const std::vector<std::string>& texts) {
  return boost::json::serialize(boost::json::array(texts.begin(), texts.end()));
}

}  // namespace

std::string FullSpecKey(const std::string& name) {
  if (FindSpecKey(name) != nullptr) return name;
  if (name.find('.') != std::string::npos) return {};
  for (const SpecKey& key : SpecKeys())
    if (std::string_view(key.path).ends_with("." + name)) return std::string(key.path);
  return {};
}

Setting ParseSetting(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw CLI::ValidationError("'" + text + "' is not KEY=VALUE, e.g. memory=1G");
  const std::string key = FullSpecKey(text.substr(0, equals));
  if (key.empty())
    throw CLI::ValidationError("there is no key " + text.substr(0, equals) + ": " +
                               KeyHint(text.substr(0, equals)));
  const std::string value = text.substr(equals + 1);
  return {key, key == "network.publish" ? PublishText(value) : value};
}

SpecOptions::SpecOptions() : values_(kSpecOptions.size()), rules_(kRuleOptions.size()) {}

void SpecOptions::AddTo(CLI::App* verb) {
  for (size_t i = 0; i < kSpecOptions.size(); ++i)
    verb->add_option(kSpecOptions[i].flag, values_[i], kSpecOptions[i].help)
        ->type_name(kSpecOptions[i].value)
        ->group(kSpecOptions[i].group);
  for (size_t i = 0; i < kRuleOptions.size(); ++i)
    verb->add_option(kRuleOptions[i].flag, rules_[i], kRuleOptions[i].help)
        ->type_name(kRuleOptions[i].value)
        ->group(kRuleOptions[i].group)
        ->allow_extra_args(false);
  verb->add_option("--allow", allow_, "what is else denied: mount, raw_sockets")
      ->type_name("WHAT")
      ->group("Allow")
      ->allow_extra_args(false);
}

std::vector<Setting> SpecOptions::Settings() const {
  std::vector<Setting> settings;
  for (size_t i = 0; i < kSpecOptions.size(); ++i) {
    const std::string& value = values_[i];
    if (value.empty()) continue;
    const std::string key = kSpecOptions[i].key;
    settings.emplace_back(key, key == "network.publish" ? PublishText(value) : value);
  }
  for (size_t i = 0; i < kRuleOptions.size(); ++i)
    if (!rules_[i].empty()) settings.emplace_back(kRuleOptions[i].key, JsonList(rules_[i]));
  for (const std::string& allowed : allow_)
    settings.push_back(ParseSetting("allow." + allowed + "=true"));
  return settings;
}

}  // namespace bailey::tenants
