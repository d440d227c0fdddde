#include "tenants/spec_keys.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenants/spec_values.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// One row: a member of Spec, and the codec of its type.
template <auto kMember, class Codec>
constexpr SpecKey Row(const char* path) {
  return {path,
          [](const json::value& value, Spec& spec) -> Status {
            auto read = Codec::Read(value);
            if (!read) return read.error();
            spec.*kMember = std::move(*read);
            return {};
          },
          [](const Spec& spec) -> json::value {
            if constexpr (std::is_same_v<decltype(spec.*kMember), const std::string&>)
              return (spec.*kMember).empty() ? json::value() : Codec::Write(spec.*kMember);
            else
              return spec.*kMember ? Codec::Write(*(spec.*kMember)) : json::value();
          },
          [](Spec& spec) { spec.*kMember = {}; }};
}

constexpr auto kKeys = std::to_array<SpecKey>({
    Row<&Spec::name, TenantNameValue>("tenant.name"),
    Row<&Spec::ip, IpValue>("tenant.ip"),
    Row<&Spec::template_name, TemplateNameValue>("tenant.template"),
    Row<&Spec::plan, PlanNameValue>("tenant.plan"),
    Row<&Spec::hostname, HostnameValue>("tenant.hostname"),
    Row<&Spec::start, CommandValue>("process.start"),
    Row<&Spec::env, EnvironmentValue>("process.env"),
    Row<&Spec::restart, RestartValue>("process.restart"),
    Row<&Spec::stop_timeout, StopTimeoutValue>("process.stop_timeout"),
    Row<&Spec::cpu, CoresValue>("limits.cpu"),
    Row<&Spec::memory_bytes, MemoryValue>("limits.memory"),
    Row<&Spec::pids, PidsValue>("limits.pids"),
    Row<&Spec::disk_bytes, DiskValue>("limits.disk"),
    Row<&Spec::connections, ConnectionsValue>("limits.connections"),
    Row<&Spec::connection_rate, ConnectionsValue>("limits.connection_rate"),
    Row<&Spec::destination_rate, ConnectionsValue>("limits.connection_rate_per_destination"),
    Row<&Spec::half_open, ConnectionsValue>("limits.half_open"),
    Row<&Spec::udp_flows, ConnectionsValue>("limits.udp_flows"),
    Row<&Spec::bandwidth_in, BandwidthValue>("limits.bandwidth_in"),
    Row<&Spec::bandwidth_out, BandwidthValue>("limits.bandwidth_out"),
    Row<&Spec::idle_timeout, IdleTimeoutValue>("limits.idle_timeout"),
    Row<&Spec::publish, PublishValue>("network.publish"),
    Row<&Spec::tls, TlsValue>("network.tls"),
    Row<&Spec::egress_allowed, VerdictValue>("network.egress.default"),
    Row<&Spec::egress_allow, RulesValue>("network.egress.allow"),
    Row<&Spec::egress_deny, RulesValue>("network.egress.deny"),
    Row<&Spec::allow_set_hostname, FlagValue>("allow.set_hostname"),
    Row<&Spec::allow_raw_sockets, FlagValue>("allow.raw_sockets"),
    Row<&Spec::allow_mount, FlagValue>("allow.mount"),
    Row<&Spec::allow_mlock, FlagValue>("allow.mlock"),
});

std::string_view SectionOf(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

std::string_view LastOf(std::string_view path) { return path.substr(path.rfind('.') + 1); }

// What may stand in `section`: its keys and the tables in it, each once.
std::vector<std::string_view> NamesIn(std::string_view section) {
  std::vector<std::string_view> names;
  for (const SpecKey& key : kKeys) {
    std::string_view path = key.path;
    if (!section.empty()) {
      if (!path.starts_with(section) || path.size() <= section.size() ||
          path[section.size()] != '.')
        continue;
      path.remove_prefix(section.size() + 1);
    }
    path = path.substr(0, path.find('.'));
    if (std::ranges::find(names, path) == names.end()) names.push_back(path);
  }
  return names;
}

// Levenshtein's distance.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// The same key in another section: "memory" in [tenant].
const SpecKey* Elsewhere(std::string_view name) {
  const auto* const found =
      std::ranges::find_if(kKeys, [name](const SpecKey& key) { return LastOf(key.path) == name; });
  return found == kKeys.end() ? nullptr : found;
}

}  // namespace

std::span<const SpecKey> SpecKeys() { return kKeys; }

const SpecKey* FindSpecKey(std::string_view path) {
  const auto* const found =
      std::ranges::find_if(kKeys, [path](const SpecKey& key) { return path == key.path; });
  return found == kKeys.end() ? nullptr : found;
}

bool IsSpecSection(std::string_view path) { return !path.empty() && !NamesIn(path).empty(); }

std::string KeyHint(std::string_view path) {
  const std::string_view name = LastOf(path);
  if (name.size() > 64) return "keys are short";
  if (const SpecKey* key = Elsewhere(name); key != nullptr)
    return "did you mean " + std::string(key->path) + "?";
  const std::vector<std::string_view> names = NamesIn(SectionOf(path));
  std::string known;
  for (const std::string_view candidate : names) {
    if (Distance(name, candidate) <= 1 + candidate.size() / 4)
      return "did you mean \"" + std::string(candidate) + "\"?";
    known += (known.empty() ? "" : ", ") + std::string(candidate);
  }
  return names.empty() ? "there is no such section" : "there are: " + known;
}

}  // namespace bailey::tenants
