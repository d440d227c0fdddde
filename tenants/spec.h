// Spec: what a person wants a tenant to be, as written: what is not set stays unset, so that a plan
// can fill it. One set of keys (spec_keys.h) serves the TOML of files, the JSON of the API and of
// the store, and `bailey set`. Plain values; no I/O; thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "base/publish_rule.h"
#include "base/result.h"
#include "netproxy/egress_rule.h"
#include "supervisor/tenant_config.h"

namespace bailey::tenants {

using netproxy::EgressRule;

// What the tenant's listeners may publish on the host: whatever it listens on, or these ports.
struct Publish {
  bool listening = true;
  std::vector<PublishRule> ports;
  bool operator==(const Publish&) const = default;
};

// In [limits] 0 stands for "none": no limit, whatever the plan says.
struct Spec {
  // [tenant]
  std::string name;
  std::optional<IpAddress> ip;  // normalised: an IPv4-mapped address is its IPv4 address
  std::optional<std::string> template_name;
  std::optional<std::string> plan;
  std::optional<std::string> hostname;
  // [process]
  std::optional<std::vector<std::string>> start;
  std::optional<std::map<std::string, std::string>> env;
  std::optional<supervisor::RestartPolicy> restart;
  std::optional<std::chrono::milliseconds> stop_timeout;
  // [limits]
  std::optional<double> cpu;  // cores
  std::optional<uint64_t> memory_bytes;
  std::optional<uint64_t> pids;
  std::optional<uint64_t> disk_bytes;
  std::optional<uint64_t> connections;
  std::optional<uint64_t> connection_rate, destination_rate;  // new ones a second
  std::optional<uint64_t> half_open, udp_flows;
  std::optional<uint64_t> bandwidth_in, bandwidth_out;  // bytes a second
  std::optional<std::chrono::milliseconds> idle_timeout;
  // [network]
  std::optional<Publish> publish;
  std::optional<std::vector<supervisor::TlsSite>> tls;
  std::optional<bool> egress_allowed;  // what no rule speaks of
  std::optional<std::vector<EgressRule>> egress_allow, egress_deny;
  // [allow]
  std::optional<bool> allow_set_hostname, allow_raw_sockets, allow_mount, allow_mlock;

  bool operator==(const Spec&) const = default;
};

// A problem at one key, so that whoever read a file can say where it is.
struct SpecProblem {
  std::string path;     // "limits.memory"; or empty
  bool at_key = false;  // the key itself is wrong, not its value
  Error error;
};
template <class T>
using SpecResult = boost::system::result<T, SpecProblem>;
[[noreturn]] void throw_exception_from_error(const SpecProblem& problem,
                                             const boost::source_location& where);

// [a-z][a-z0-9-]{0,31}.
Status CheckTenantName(std::string_view name);
// Name, IP and template are there.
SpecResult<void> CheckComplete(const Spec& spec);

}  // namespace bailey::tenants
