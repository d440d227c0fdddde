// What the host's administrator says: where Bailey keeps things, /etc/bailey/bailey.toml, and the
// plans beside it. Trusted text: only root can write it.
//
//   [daemon]
//   metrics = "127.0.0.1:9748"     "" turns the TCP listener off
//   [network]
//   interface = "eth0"             gets a tenant's IP while it runs, if the host lacks it
//   resolvers = ["192.0.2.53"]     default: those of the host's resolv.conf
//   [ids]
//   first = 1048576                tenant number N has the host ids first + N * 65536 and following
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"
#include "tenants/spec.h"

namespace bailey::tenants {

inline constexpr uint32_t kIdsPerTenant = 65536;

struct Paths {
  std::string config = "/etc/bailey/bailey.toml";
  std::string state = "/var/lib/bailey";
  std::string runtime = "/run/bailey";

  // BAILEY_CONFIG, BAILEY_STATE_DIR and BAILEY_RUNTIME_DIR move them; they must be absolute.
  static Result<Paths> FromEnvironment();

  std::string ApiSocket() const { return runtime + "/api.sock"; }
  std::string Database() const { return state + "/bailey.db"; }
  std::string Plans() const;  // plans.d beside the configuration
  std::string TenantState(const std::string& name) const { return state + "/tenants/" + name; }
  std::string TenantRuntime(const std::string& name) const { return runtime + "/tenants/" + name; }
  std::string ControlSocket(const std::string& name) const {
    return TenantRuntime(name) + "/control.sock";
  }
  std::string ConsoleLog(const std::string& name) const {
    return TenantState(name) + "/console.log";
  }
  std::string DiskImage(const std::string& name) const { return TenantState(name) + "/disk.img"; }
  // "bailey/acme", or "bailey-1a2b3c4d/acme" where the runtime directory is not the usual one.
  std::string Cgroup(const std::string& name) const;
};

struct DaemonConfig {
  std::optional<Endpoint> metrics = Endpoint{IpAddress::V4(0x7f000001), 9748};
  std::string interface;
  std::optional<std::vector<Endpoint>> resolvers;
  uint32_t first_id = 1048576;

  // How many tenants there can be: the last ids of all stay free.
  uint32_t Slots() const;
  uint32_t UidBase(uint32_t slot) const { return first_id + slot * kIdsPerTenant; }
};

// Errors: "/etc/bailey/bailey.toml: 2:1: …". A missing file means the defaults.
Result<DaemonConfig> ParseDaemonConfig(std::string_view toml);
Result<DaemonConfig> LoadDaemonConfig(const Paths& paths);

// The plan `name` from plans.d, or one of the built-in small, medium and large. ENOENT with a hint.
Result<Spec> LoadPlan(const Paths& paths, const std::string& name);

}  // namespace bailey::tenants
