// TenantConfig: what one supervisor is told about its tenant, and its JSON form. baileyd writes it
// (tenants/), the supervisor reads it once, from --config-fd. Nothing in it comes from inside the
// tenant. docs/DESIGN.md, "baileyd → bailey-supervisor", has the keys.
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
#include "supervisor/tls_sites.h"

namespace bailey::supervisor {

// One read-only layer: a directory of the host, and host directories projected into it.
struct LowerLayer {
  std::string path;
  std::map<std::string, std::string> binds;  // "usr" (relative to the layer) → "/usr"
};

struct Layers {
  std::vector<LowerLayer> lowers;  // the topmost first
  std::string upper, work;         // in one directory
  // The disk image of a tenant with a disk limit. Where there is one, upper and work are the
  // directories of these names in it; "" for a tenant that never has one.
  std::string image;
};

enum class RestartPolicy { kNo, kOnFailure, kAlways };

struct ProcessSpec {
  std::vector<std::string> start;  // argv; argv[0] is looked up in the tenant's root
  std::vector<std::string> env;    // "K=V"
  RestartPolicy restart = RestartPolicy::kNo;
  std::chrono::milliseconds stop_timeout{10'000};
};

// 0 stands for "no limit" everywhere.
struct Limits {
  double cpu = 0;             // cores: 1.5 is one and a half
  uint64_t memory_bytes = 0;  // of the tenant's tasks, page cache included; no swap beside it
  uint64_t pids = 0;
  uint64_t connections = 0;  // the proxy's business
  uint64_t disk_bytes = 0;   // whole blocks of 4 KiB
  bool oom_group = false;    // out of memory kills the tenant as a whole (v2 only), not one task
  bool operator==(const Limits&) const = default;
};

struct TenantConfig {
  std::string name;      // [a-z][a-z0-9-]{0,31}
  std::string hostname;  // empty: the name
  uint32_t uid_base = 0;
  IpAddress ip;
  std::string
      interface;  // gets the IP while the tenant runs, if the host does not have it; or empty
  Layers layers;
  std::vector<std::string> hide;  // absolute paths that do not exist for the tenant
  ProcessSpec process;
  Limits limits;
  std::map<std::string, bool> allow;  // jail(8)'s names; supervisor/allow.h knows them
  std::string cgroup;                 // "bailey/acme", below every hierarchy's root
  std::string console_log;            // the start command's stdout and stderr; "" for none
  std::string resolv_conf;            // text of the tenant's /etc/resolv.conf; "" for none
  // Host ports that the proxy may ask for; nullopt: whatever the tenant listens on.
  std::optional<std::vector<PublishRule>> publish;
  std::vector<TlsSite> tls;    // what bailey-tls serves; none: it does not run
  std::string network = "{}";  // JSON, handed to the proxy unread
  std::string programs;        // the directory of bailey-fs and the others; "": beside ourselves
};

// Errors: EINVAL-like (Invalid) naming the key. Unknown keys are refused: a limit that nobody reads
// would be a wall that does not stand.
Result<TenantConfig> ParseTenantConfig(std::string_view json);
std::string FormatTenantConfig(const TenantConfig& config);

// The "limits" object alone, over what holds now: keys that are absent stay as they are.
Result<Limits> ParseLimits(std::string_view json, const Limits& current);

}  // namespace bailey::supervisor
