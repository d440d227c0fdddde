#include "netproxy/config.h"

#include <boost/json.hpp>
#include <utility>

#include "base/publish_rule_json.h"
#include "netproxy/bpf_types.h"
#include "netproxy/special_ranges.h"

namespace bailey::netproxy {
namespace {

namespace json = boost::json;

Error Wrong(const std::string& key, const char* wanted) {
  return Invalid(key + " must be " + wanted);
}

Result<std::string> Text(const json::value& value, const std::string& key) {
  const json::string* text = value.if_string();
  if (text == nullptr) return Wrong(key, "text");
  return std::string(text->data(), text->size());
}

template <class Number>
Result<Number> Whole(const json::value& value, const std::string& key) {
  json::error_code failed;
  const Number number = value.to_number<Number>(failed);
  if (failed || value.is_double()) return Wrong(key, "a whole number in range");
  return number;
}

Result<PublishRule> Rule(const json::value& value, const std::string& key) {
  auto rule = PublishRuleFromJson(value);
  if (!rule) return rule.error().Within(key);
  return rule;
}

// Every element of a list through `read(value, "key[3]")`.
template <class Item, class Read>
Status List(const json::value& value, const std::string& key, std::vector<Item>& out, Read read) {
  const json::array* list = value.if_array();
  if (list == nullptr) return Wrong(key, "a list");
  out.clear();
  for (size_t i = 0; i < list->size(); ++i) {
    Result<Item> item = read((*list)[i], key + "[" + std::to_string(i) + "]");
    if (!item) return item.error();
    out.push_back(std::move(*item));
  }
  return {};
}

// A value that is written as text; what its parser says is prefixed with the key.
template <class Item, class Parse>
auto Parsed(Parse parse) {
  return [parse](const json::value& value, const std::string& key) -> Result<Item> {
    const auto text = Text(value, key);
    if (!text) return text.error();
    Result<Item> item = parse(*text);
    if (!item) return item.error().Within(key);
    return item;
  };
}

Result<Endpoint> ParseEndpoint(std::string_view text) {
  const auto rule = EgressRule::Parse(text);
  if (!rule) return rule.error();
  if (!rule->range || rule->range->prefix != rule->range->address.bits() ||
      rule->ports.first != rule->ports.last)
    return Invalid("not an address and a port: \"" + std::string(text) + "\"",
                   "write it like 192.0.2.53:53 or [2001:db8::53]:53");
  return Endpoint{rule->range->address, rule->ports.first};
}

// Calls `read(key, value)` for each member; `read` returns false for a key it does not know.
template <class Read>
Status Members(const json::value& value, const std::string& where, Read read) {
  const json::object* object = value.if_object();
  if (object == nullptr) return Wrong(where.empty() ? "it" : where, "an object");
  for (const auto& member : *object) {
    const std::string key = (where.empty() ? "" : where + ".") + std::string(member.key());
    const Result<bool> known = read(std::string_view(member.key()), member.value(), key);
    if (!known) return known.error();
    if (!*known) return Invalid("unknown key " + key);
  }
  return {};
}

// Stores a result, or passes its error on; true so that Members() sees a known key.
template <class Value>
Result<bool> Take(Result<Value> result, Value& out) {
  if (!result) return result.error();
  out = std::move(*result);
  return true;
}
Result<bool> Known(const Status& status) {
  if (!status) return status.error();
  return true;
}

Status ReadEgress(const json::value& value, EgressConfig& out) {
  const auto read_rule = Parsed<EgressRule>(&EgressRule::Parse);
  return Members(value, "egress",
                 [&](std::string_view name, const json::value& member,
                     const std::string& key) -> Result<bool> {
                   if (name == "allow") return Known(List(member, key, out.allow, read_rule));
                   if (name == "deny") return Known(List(member, key, out.deny, read_rule));
                   if (name != "default") return false;
                   const json::string* word = member.if_string();
                   if (word == nullptr || (*word != "allow" && *word != "deny"))
                     return Wrong(key, "allow or deny");
                   out.allow_by_default = *word == "allow";
                   return true;
                 });
}

Status ReadUids(const json::value& value, UidRange& out) {
  return Members(value, "tenantUids",
                 [&](std::string_view name, const json::value& member,
                     const std::string& key) -> Result<bool> {
                   if (name == "first") return Take(Whole<uint32_t>(member, key), out.first);
                   if (name == "last") return Take(Whole<uint32_t>(member, key), out.last);
                   return false;
                 });
}

struct LimitKey {
  const char* name;
  uint64_t NetLimits::*member;
};
constexpr LimitKey kLimitKeys[] = {
    {"connectionRate", &NetLimits::connection_rate},
    {"destinationRate", &NetLimits::destination_rate},
    {"halfOpen", &NetLimits::half_open},
    {"udpFlows", &NetLimits::udp_flows},
    {"bytesIn", &NetLimits::bytes_in},
    {"bytesOut", &NetLimits::bytes_out},
};

Status ReadLimits(const json::value& value, NetLimits& out) {
  return Members(value, "limits",
                 [&](std::string_view name, const json::value& member,
                     const std::string& key) -> Result<bool> {
                   for (const LimitKey& row : kLimitKeys)
                     if (name == row.name)
                       return Take(Whole<uint64_t>(member, key), out.*row.member);
                   if (name != "idleTimeoutMs") return false;
                   const auto idle = Whole<uint32_t>(member, key);
                   if (!idle) return idle.error();
                   out.idle_timeout = std::chrono::milliseconds(*idle);
                   return true;
                 });
}

json::object ToJson(const NetLimits& limits) {
  json::object out = {{"idleTimeoutMs", limits.idle_timeout.count()}};
  for (const LimitKey& row : kLimitKeys) out[row.name] = limits.*row.member;
  return out;
}

Result<bool> ReadMember(std::string_view name, const json::value& value, const std::string& key,
                        ProxyConfig& out) {
  if (name == "tenant") return Take(Text(value, key), out.tenant);
  if (name == "ip") return Take(Parsed<IpAddress>(&IpAddress::Parse)(value, key), out.ip);
  if (name == "resolvers")
    return Known(List(value, key, out.resolvers, Parsed<Endpoint>(&ParseEndpoint)));
  if (name == "egress") return Known(ReadEgress(value, out.egress));
  if (name == "publish") {
    if (value.is_null()) return true;
    return Known(List(value, key, out.publish.emplace(), &Rule));
  }
  if (name == "tlsPorts") return Known(List(value, key, out.tls_ports, &Whole<uint16_t>));
  if (name == "connections") return Take(Whole<uint64_t>(value, key), out.connections);
  if (name == "limits") return Known(ReadLimits(value, out.limits));
  if (name == "peers") return Known(List(value, key, out.peers, Parsed<Cidr>(&Cidr::Parse)));
  if (name == "tenantUids") return Known(ReadUids(value, out.tenant_uids));
  return false;
}

Result<ProxyConfig> ReadConfig(const json::value& value) {
  ProxyConfig config;
  BAILEY_TRY(Members(value, "",
                     [&config](std::string_view name, const json::value& member,
                               const std::string& key) -> Result<bool> {
                       return ReadMember(name, member, key, config);
                     }));
  for (const char* required : {"tenant", "ip"})
    if (!value.as_object().contains(required))
      return Invalid(std::string(required) + " is missing");
  if (Unmapped(config.ip) != config.ip) return Invalid("ip is IPv4-mapped: write it as IPv4");
  return config;
}

Result<json::value> ParseJson(std::string_view text) {
  json::error_code failed;
  json::value value = json::parse(text, failed);
  if (failed) return Invalid("not JSON: " + failed.message());
  return value;
}

template <class Items>
json::array Strings(const Items& items) {
  json::array out;
  for (const auto& item : items) out.emplace_back(item.ToString());
  return out;
}

json::object ToJson(const ProxyConfig& config) {
  json::object out = {
      {"tenant", config.tenant},
      {"ip", config.ip.ToString()},
      {"resolvers", Strings(config.resolvers)},
      {"egress",
       {{"default", config.egress.allow_by_default ? "allow" : "deny"},
        {"allow", Strings(config.egress.allow)},
        {"deny", Strings(config.egress.deny)}}},
      {"publish", nullptr},
      {"connections", config.connections},
      {"limits", ToJson(config.limits)},
      {"peers", Strings(config.peers)},
      {"tenantUids", {{"first", config.tenant_uids.first}, {"last", config.tenant_uids.last}}},
  };
  // An earlier program may still run that does not know it.
  if (!config.tls_ports.empty())
    out["tlsPorts"] = json::array(config.tls_ports.begin(), config.tls_ports.end());
  if (config.publish) out["publish"] = bailey::ToJson(*config.publish);
  return out;
}

}  // namespace

Result<ProxyConfig> ParseProxyConfig(std::string_view text) {
  const auto value = ParseJson(text);
  if (!value) return value.error().Within("network");
  auto config = ReadConfig(*value);
  if (!config) return config.error().Within("network");
  return config;
}

std::string FormatProxyConfig(const ProxyConfig& config) { return json::serialize(ToJson(config)); }

Result<ProxyConfig> ParseConfigMessage(std::string_view text) {
  const auto value = ParseJson(text);
  if (!value) return value.error().Within("config message");
  const json::value* network = nullptr;
  BAILEY_TRY(Members(*value, "",
                     [&network](std::string_view name, const json::value& member,
                                const std::string& key) -> Result<bool> {
                       if (name == "network") network = &member;
                       if (name == "op" && member != "config") return Wrong(key, "config");
                       return name == "network" || name == "op";
                     }));
  if (network == nullptr) return Invalid("network is missing").Within("config message");
  auto config = ReadConfig(*network);
  if (!config) return config.error().Within("network");
  return config;
}

std::string FormatConfigMessage(const ProxyConfig& config) {
  return json::serialize(json::object{{"op", "config"}, {"network", ToJson(config)}});
}

IpAddress DnsStubAddress() { return IpAddress::V4(BAILEY_DNS_ADDRESS); }

}  // namespace bailey::netproxy
