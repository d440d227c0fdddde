// Tenant: what is changed, suspended and run inside, while it is up.
#include <utility>

#include "base/log.h"
#include "base/publish_rule_json.h"
#include "netproxy/config.h"
#include "supervisor/disk_image.h"
#include "tenants/tenant.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr milliseconds kRequestPatience{30'000};

}  // namespace

void Tenant::Set(Spec spec, Done done) {
  if (!IsUp() && !AtRest())
    return waiting_.push_back(
        [self = weak_from_this(), spec = std::move(spec), done = std::move(done)](const auto&) {
          if (const auto tenant = self.lock()) return tenant->Set(spec, done);
          done(ApiError{ApiCode::kNotFound, "the tenant has gone", spec.name, {}, {}});
        });
  TenantRecord changed = record_;
  changed.spec = std::move(spec);
  auto effective = EffectiveSpec(context_.host, changed);
  if (!effective) return done(ApiError::From(effective.error(), name(), "spec"));
  Spec before = record_.spec;
  if (const ApiStatus saved = SaveIntent(std::move(changed)); !saved) return done(saved);
  Spec before_effective = std::exchange(effective_, std::move(*effective));
  if (!IsUp()) return done({});
  requests_.Ask(LiveSettings(), {}, kRequestPatience,
                [this, before = std::move(before), before_effective = std::move(before_effective),
                 done = std::move(done)](const auto& answer) {
                  if (answer) return done({});
                  PutBack(before, before_effective);
                  done(answer.error());
                });
}

// A disk that has begun to grow cannot go back: the next start completes it.
void Tenant::PutBack(Spec spec, Spec effective) {
  const uint64_t image = supervisor::ImageBytes(context_.host.paths.DiskImage(name()));
  if (*effective.disk_bytes > 0 && image > *effective.disk_bytes) {
    spec.disk_bytes = record_.spec.disk_bytes;
    effective.disk_bytes = effective_.disk_bytes;
  }
  record_.spec = std::move(spec);
  effective_ = std::move(effective);
  Save();
}

json::object Tenant::LiveSettings() const {
  json::object request = {{"op", "set"}};
  const supervisor::Limits limits = MakeLimits(effective_);
  request["limits"] = {{"cpu", limits.cpu},
                       {"memory", limits.memory_bytes},
                       {"pids", limits.pids},
                       {"connections", limits.connections},
                       {"disk", limits.disk_bytes}};
  request["network"] = json::parse(netproxy::FormatProxyConfig(
      MakeProxyConfig(context_.host, effective_, context_.peers(name()))));
  // The supervisor reads this one itself: what the proxy may ask for.
  const auto& publish = *effective_.publish;
  request["publish"] = publish.listening ? json::value() : json::value(ToJson(publish.ports));
  // A supervisor that was started by an earlier program knows nothing of it, and has no page for
  // it.
  if (counters_.tls || !effective_.tls->empty())
    request["tls"] = supervisor::ToJson(*effective_.tls);
  return request;
}

void Tenant::PushNetwork() {
  if (IsUp()) Push([](json::object& request) { request.erase("limits"); });
}

// A daemon that died between the store and the supervisor may have left them apart.
void Tenant::PushSettings() {
  Push([](json::object&) {});
}

void Tenant::Push(void (*narrow)(json::object& request)) {
  json::object request = LiveSettings();
  narrow(request);
  life_.Ask(request, {}, kRequestPatience, [this](const auto& answer) {
    if (!answer) LogWarning(name() + ": its settings were not updated: " + answer.error().message);
  });
}

// Asked of the supervisor whatever we believe: a tenant that an earlier daemon began to suspend may
// stand still by now. It may also have ended meanwhile.
void Tenant::Pause(const char* op, TenantState wanted, Done done) {
  if (!IsUp())
    return done(ApiError{ApiCode::kFailed,
                         "tenant " + name() + " does not run",
                         name(),
                         {},
                         "bailey start " + name()});
  if (pausing_)
    return done(ApiError{ApiCode::kInUse,
                         "tenant " + name() + " is being suspended or resumed",
                         name(),
                         {},
                         "try again"});
  pausing_ = true;
  requests_.Ask({{"op", op}}, {}, kRequestPatience,
                [this, wanted, done = std::move(done)](const auto& answer) {
                  pausing_ = false;
                  if (!answer) return done(answer.error());
                  if (!IsUp()) return done({});  // ended, which has been told by now
                  if (record_.state == wanted) return done({});
                  record_.state = wanted;
                  record_.state_since = UnixNow();
                  Save();
                  Note(wanted == TenantState::kSuspended ? "suspended" : "resumed", "");
                  done({});
                });
}

void Tenant::RestartProxy(Done done) {
  if (!IsUp())
    return done(ApiError{ApiCode::kFailed,
                         "tenant " + name() + " does not run",
                         name(),
                         {},
                         "bailey start " + name()});
  requests_.Ask({{"op", "restart"}, {"server", "net"}}, {}, kRequestPatience,
                [this, done = std::move(done)](const auto& answer) {
                  if (!answer) return done(answer.error());
                  Note("proxy restarted", "");
                  done({});
                });
}

void Tenant::Suspend(Done done) { Pause("suspend", TenantState::kSuspended, std::move(done)); }
void Tenant::Resume(Done done) { Pause("resume", TenantState::kRunning, std::move(done)); }

void Tenant::Exec(const json::object& request, const std::vector<int>& fds, Done done) {
  requests_.Ask(request, fds, kRequestPatience, [done = std::move(done)](const auto& answer) {
    done(answer ? ApiStatus() : ApiStatus(answer.error()));
  });
}

}  // namespace bailey::tenants
