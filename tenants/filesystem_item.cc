#include "tenants/filesystem_item.h"

#include <sys/stat.h>

#include <array>
#include <optional>
#include <utility>

#include "tenants/tenant_item.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr double kUpperAge = 10;             // seconds for which a measured upper is good enough
constexpr double kBaseAge = 365.0 * 86'400;  // a generation never changes

json::object Layer(const char* kind, const std::string& name, const std::string& path,
                   const MeasuredUse& measured) {
  const bool known = measured.at > 0;
  return {
      {"kind", kind},
      {"name", name},
      {"path", path},
      {"bytes", known ? json::value(measured.use.bytes) : json::value()},
      {"inodes", known ? json::value(measured.use.inodes) : json::value()},
      {"complete", known ? json::value(measured.use.complete) : json::value()},
      {"measuredAt", known ? json::value(json::string(FormatTime(measured.at))) : json::value()}};
}

json::object Counted(const CounterPage<FsCounter>& page) {
  static constexpr auto kShown = std::to_array<std::pair<const char*, FsCounter>>({
      {"copyUps", FsCounter::kCopyUps},
      {"copyUpBytes", FsCounter::kCopyUpBytes},
      {"openFiles", FsCounter::kOpenFiles},
      {"nodes", FsCounter::kNodes},
      {"passthroughOpens", FsCounter::kPassthroughOpens},
      {"requests", FsCounter::kRequests},
      {"denied", FsCounter::kDenied},
      {"errors", FsCounter::kErrors},
  });
  json::object counted;
  for (const auto& [name, counter] : kShown) counted[name] = page.Get(counter);
  return counted;
}

// A disk image takes what is allocated of it; what is in it is for its tenant to see.
std::optional<MeasuredUse> ImageUse(const Host& host, const std::string& tenant) {
  struct stat status {};
  if (::lstat(host.paths.DiskImage(tenant).c_str(), &status) != 0) return std::nullopt;
  MeasuredUse use;
  use.use.bytes = static_cast<uint64_t>(status.st_blocks) * 512;
  use.use.complete = true;
  use.at = UnixNow();
  return use;
}

json::object UpperLayer(const Host& host, const Tenant& tenant, const MeasuredUse& measured) {
  if (!ImageUse(host, tenant.name()))
    return Layer("upper", tenant.name(), host.paths.TenantState(tenant.name()) + "/upper",
                 measured);
  json::object layer = Layer("upper", tenant.name(), host.paths.DiskImage(tenant.name()), measured);
  layer["inodes"] =
      tenant.IsUp() && tenant.counters().supervisor
          ? json::value(tenant.counters().supervisor->Get(SupervisorCounter::kDiskUsedInodes))
          : json::value();
  return layer;
}

}  // namespace

void MeasureFileSystem(LayerMeter& meter, const Host& host, const std::string& tenant,
                       const Template& base, std::function<void(const FileSystemUse& use)> done) {
  const auto measure_upper = [&meter, done = std::move(done), image = ImageUse(host, tenant),
                              upper = host.paths.TenantState(tenant) +
                                      "/upper"](const MeasuredUse& of_base) {
    if (image) return done({*image, of_base});
    meter.Measure(upper, kUpperAge, [done, of_base](const MeasuredUse& of_upper) {
      done({of_upper, of_base});
    });
  };
  if (base.use)
    measure_upper({*base.use, base.CreatedAt()});
  else
    meter.Measure(base.root(), kBaseAge, measure_upper);
}

json::object FileSystemItem(const Host& host, const Tenant& tenant, const Template& base,
                            const FileSystemUse& use) {
  const std::string name = base.name + "@" + std::to_string(base.generation);
  json::array layers{UpperLayer(host, tenant, use.upper),
                     Layer("template", name, base.root(), use.base)};
  // The host's own, measured by nobody.
  for (const auto& [place, directory] : base.binds) {
    std::string bind = name;
    bind += '/';
    bind += place;
    layers.push_back(Layer("bind", bind, directory, {}));
  }
  const bool counts = tenant.IsUp() && tenant.counters().fs;
  return {{"name", tenant.name()},
          {"state", monitoring::StateName(tenant.record().state)},
          {"layers", std::move(layers)},
          {"counters", counts ? json::value(Counted(*tenant.counters().fs.get())) : json::value()}};
}

}  // namespace bailey::tenants
