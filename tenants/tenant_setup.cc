#include "tenants/tenant_setup.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "tenants/host_resolver.h"
#include "tenants/spec_json.h"
#include "tenants/templates/template_store.h"

namespace bailey::tenants {
namespace {

using supervisor::TenantConfig;

std::string ResolvConf(const std::string& search) {
  std::string text = "# written by Bailey: the stub asks the host's resolvers\nnameserver " +
                     netproxy::DnsStubAddress().ToString() + "\n";
  if (!search.empty()) text += "search " + search + "\n";
  return text;
}

void AddNames(const Host& host, const TenantRecord& record, TenantConfig& config) {
  const std::string state = host.paths.TenantState(record.name());
  config.name = record.name();
  config.uid_base = host.config.UidBase(record.slot);
  config.ip = *record.spec.ip;
  config.interface = host.config.interface;
  config.layers.upper = state + "/upper";
  config.layers.work = state + "/work";
  config.layers.image = host.paths.DiskImage(record.name());
  config.cgroup = host.paths.Cgroup(record.name());
  config.console_log = host.paths.ConsoleLog(record.name());
}

// One directory, made with `mode` whatever the umask; another one's is left as it is.
Status MakeDirectory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) {
    if (::chmod(path.c_str(), mode) != 0) return Errno("chmod " + path);
    return {};
  }
  struct stat status {};
  if (errno != EEXIST) return Errno("mkdir " + path);
  if (::lstat(path.c_str(), &status) != 0) return Errno("stat " + path);
  if (!S_ISDIR(status.st_mode)) return Errno(path, ENOTDIR);
  return {};
}

}  // namespace

Result<Spec> EffectiveSpec(const Host& host, const TenantRecord& record) {
  if (!record.spec.plan) return Effective(record.spec, Spec{});
  auto plan = LoadPlan(host.paths, *record.spec.plan);
  if (!plan) return plan.error();
  return Effective(record.spec, *plan);
}

supervisor::Limits MakeLimits(const Spec& effective) {
  supervisor::Limits limits;
  limits.cpu = *effective.cpu;
  limits.memory_bytes = *effective.memory_bytes;
  limits.pids = *effective.pids;
  limits.connections = *effective.connections;
  limits.disk_bytes = *effective.disk_bytes;
  return limits;
}

netproxy::ProxyConfig MakeProxyConfig(const Host& host, const Spec& effective,
                                      const std::vector<IpAddress>& peers) {
  netproxy::ProxyConfig proxy;
  proxy.tenant = effective.name;
  proxy.ip = *effective.ip;
  proxy.resolvers = host.config.resolvers ? *host.config.resolvers : ReadHostResolver().servers;
  proxy.egress.allow_by_default = *effective.egress_allowed;
  proxy.egress.allow = *effective.egress_allow;
  proxy.egress.deny = *effective.egress_deny;
  if (!effective.publish->listening) proxy.publish = effective.publish->ports;
  for (const supervisor::TlsSite& site : *effective.tls)
    if (!std::ranges::count(proxy.tls_ports, site.port)) proxy.tls_ports.push_back(site.port);
  proxy.connections = *effective.connections;
  proxy.limits = {.connection_rate = *effective.connection_rate,
                  .destination_rate = *effective.destination_rate,
                  .half_open = *effective.half_open,
                  .udp_flows = *effective.udp_flows,
                  .bytes_in = *effective.bandwidth_in,
                  .bytes_out = *effective.bandwidth_out,
                  .idle_timeout = *effective.idle_timeout};
  for (const IpAddress& peer : peers) proxy.peers.push_back({peer, peer.bits()});
  proxy.tenant_uids = {host.config.first_id, host.config.UidBase(host.config.Slots()) - 1};
  return proxy;
}

Result<TenantConfig> MakeTenantConfig(const Host& host, const TenantRecord& record,
                                      const Spec& effective, const netproxy::ProxyConfig& proxy) {
  auto base = FindTemplate(host.paths.state, *effective.template_name, record.generation);
  if (!base) return base.error();
  TenantConfig config;
  AddNames(host, record, config);
  config.hostname = *effective.hostname;
  config.layers.lowers = {{base->root(), base->binds}};
  for (const std::string& path : base->hide) config.hide.push_back("/" + path);
  config.process.start = *effective.start;
  for (const auto& [name, value] : *effective.env)
    config.process.env.push_back(std::string(name).append("=").append(value));
  config.process.restart = *effective.restart;
  config.process.stop_timeout = *effective.stop_timeout;
  config.limits = MakeLimits(effective);
  config.allow = {{"set_hostname", *effective.allow_set_hostname},
                  {"raw_sockets", *effective.allow_raw_sockets},
                  {"mount", *effective.allow_mount},
                  {"mlock", *effective.allow_mlock}};
  config.resolv_conf = ResolvConf(ReadHostResolver().search);
  if (!effective.publish->listening) config.publish = effective.publish->ports;
  config.tls = *effective.tls;
  config.network = netproxy::FormatProxyConfig(proxy);
  return config;
}

TenantConfig MakeClearingConfig(const Host& host, const TenantRecord& record) {
  TenantConfig config;
  AddNames(host, record, config);
  config.layers.lowers = {{host.paths.TenantState(record.name()), {}}};
  config.process.start = {"/nothing"};
  return config;
}

Status PrepareDirectories(const Host& host, const TenantRecord& record, bool image) {
  const std::string state = host.paths.TenantState(record.name());
  BAILEY_TRY(MakeDirectory(host.paths.state + "/tenants", 0700));
  BAILEY_TRY(MakeDirectory(state, 0700));
  if (!image) {
    BAILEY_TRY(MakeDirectory(state + "/upper", 0755));  // the tenant's own /
    BAILEY_TRY(MakeDirectory(state + "/work", 0700));
  }
  BAILEY_TRY(MakeDirectory(host.paths.runtime + "/tenants", 0700));
  return MakeDirectory(host.paths.TenantRuntime(record.name()), 0700);
}

}  // namespace bailey::tenants
