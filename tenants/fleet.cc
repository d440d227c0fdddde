#include "tenants/fleet.h"

#include <utility>

#include "base/log.h"
#include "tenants/removal.h"
#include "tenants/spec_json.h"
#include "tenants/templates/remove_tree.h"
#include "tenants/templates/template_store.h"
#include "tenants/tenant_disk.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// Several tenants that come or go at once are told to the others once.
constexpr std::chrono::milliseconds kAnnouncePause{20};

ApiError NoSuchTenant(const std::string& name) {
  return {ApiCode::kNotFound, "there is no tenant " + name, name, "",
          "bailey ls shows those that exist"};
}

// A taken name or address says so by itself; strerror's text would only blur it.
ApiError StoreError(const Error& error, const std::string& name) {
  ApiError made = ApiError::From(error, name, "store");
  if (made.code == ApiCode::kExists) {
    made.message = error.context;
    made.layer = "spec";
  }
  return made;
}

}  // namespace

Fleet::Fleet(EventLoop& loop, Store& store, const Host& host, Background& background)
    : loop_(loop),
      store_(store),
      host_(host),
      background_(background),
      context_{loop, store, host, [this](const std::string& name) { return PeersOf(name); },
               [this](const std::string& path) { Discard(path); }} {}

void Fleet::Discard(const std::string& path) {
  background_.Run([path] { return RemoveMoved(path); },
                  [](const Status& gone) {
                    if (!gone) LogWarning(gone.error().Message());
                  });
}

Status Fleet::Load(std::function<void()> ready) {
  for (const std::string& name : HalfRemovedTenants(host_.paths))
    if (store_.Remove(name)) LogInfo(name + ": its removal is finished");
  background_.Run([paths = host_.paths] { return RemoveAllMoved(paths); },
                  [](const Status& gone) {
                    if (!gone) LogWarning(gone.error().Message());
                  });
  auto records = store_.Load();
  if (!records) return records.error();
  for (TenantRecord& record : *records) {
    std::string name = record.name();
    tenants_.emplace(std::move(name), std::make_shared<Tenant>(context_, std::move(record)));
  }
  // One more than tenants, so that `ready` cannot come before the last Adopt() has begun.
  auto left = std::make_shared<size_t>(tenants_.size() + 1);
  const auto found = [left, ready = std::move(ready)] {
    if (--*left == 0) ready();
  };
  for (const auto& [name, tenant] : tenants_) tenant->Adopt(found);
  loop_.After({}, found);
  return {};
}

ApiResult<std::shared_ptr<Tenant>> Fleet::Find(const std::string& name) const {
  const auto found = tenants_.find(name);
  if (found == tenants_.end()) return NoSuchTenant(name);
  return found->second;
}

std::vector<std::string> Fleet::UsersOfTemplate(const std::string& name) const {
  std::vector<std::string> users;
  for (const auto& [tenant_name, tenant] : tenants_)
    if (tenant->record().spec.template_name == name) users.push_back(tenant_name);
  return users;
}

std::vector<IpAddress> Fleet::PeersOf(const std::string& name) const {
  std::vector<IpAddress> peers;
  for (const auto& [peer_name, peer] : tenants_)
    if (peer_name != name) peers.push_back(*peer->record().spec.ip);
  return peers;
}

void Fleet::AnnounceSoon() {
  if (std::exchange(announcing_, true)) return;
  loop_.After(kAnnouncePause, [this] {
    announcing_ = false;
    for (const auto& [name, tenant] : tenants_) tenant->PushNetwork();
  });
}

ApiResult<std::shared_ptr<Tenant>> Fleet::Create(Spec spec) {
  const std::string name = spec.name;
  auto base = FindTemplate(host_.paths.state, *spec.template_name);
  if (!base) {
    ApiError error = ApiError::From(base.error(), name, "template");
    if (error.code == ApiCode::kNotFound) error.message = "there is no " + base.error().context;
    return error;
  }
  TenantRecord record;
  record.spec = std::move(spec);
  record.generation = base->generation;
  record.state_since = UnixNow();
  if (const auto effective = EffectiveSpec(host_, record); !effective)
    return ApiError::From(effective.error(), name, "spec");
  if (const Status created = store_.Create(record, host_.config.Slots()); !created)
    return StoreError(created.error(), name);
  LogInfo(name + ": created");
  static_cast<void>(store_.AddEvent(name, "created", "at " + record.spec.ip->ToString()));
  auto tenant = std::make_shared<Tenant>(context_, std::move(record));
  tenants_.emplace(name, tenant);
  AnnounceSoon();
  return tenant;
}

void Fleet::Remove(const std::string& name, bool force, Done done) {
  auto tenant = Find(name);
  if (!tenant) return done(tenant.error());
  if (!(*tenant)->AtRest() && !force)
    return done(
        ApiError{ApiCode::kInUse,
                 "tenant " + name + " is " + monitoring::StateName((*tenant)->record().state), name,
                 "", "bailey rm --force " + name + " stops it first"});
  (*tenant)->Stop([this, name, done = std::move(done)](const ApiStatus& stopped) {
    if (!stopped) return done(stopped);
    const auto still = Find(name);
    if (!still) return done({});  // another removal was quicker
    RemoveAtRest(*still, done);
  });
}

void Fleet::RemoveAtRest(const std::shared_ptr<Tenant>& tenant, const Done& done) {
  const std::string name = tenant->name();
  if (!tenant->AtRest())
    return done(ApiError{ApiCode::kInUse, "tenant " + name + " has been started again", name, "",
                         "bailey rm --force " + name});
  const auto fail = [&](const Error& error) { done(ApiError::From(error, name, "store")); };
  if (const Status gone = RemoveTree(host_.paths.TenantRuntime(name)); !gone)
    return fail(gone.error());
  const auto moved = MoveTenantAway(host_.paths, name);
  if (!moved) return fail(moved.error());
  if (const Status removed = store_.Remove(name); !removed) return fail(removed.error());
  tenants_.erase(name);
  LogInfo(name + ": removed");
  static_cast<void>(store_.AddEvent(name, "removed", ""));
  AnnounceSoon();
  background_.Run([path = *moved] { return RemoveMoved(path); },
                  [name, done](const Status& gone) {
                    if (!gone) return done(ApiError::From(gone.error(), name, "store"));
                    done({});
                  });
}

void Fleet::Set(const std::string& name, const json::object& changes, Done done) {
  auto found = Find(name);
  if (!found) return done(found.error());
  const auto& tenant = *found;
  const Spec& before = tenant->record().spec;
  Spec spec = before;
  std::string keys;
  for (const auto& change : changes) {
    keys += (keys.empty() ? "" : " ") + std::string(change.key());
    if (const Status set = SetSpecKey(spec, std::string(change.key()), change.value()); !set)
      return done(ApiError::From(set.error(), name, "spec"));
  }
  const auto refuse = [&](const char* what, const char* hint) {
    done(ApiError{ApiCode::kUsage, what, name, "spec", hint});
  };
  if (auto complete = CheckComplete(spec); !complete)
    return done(ApiError::From(ToError(complete.error()), name, "spec"));
  if (spec.name != before.name) return refuse("a tenant's name cannot be changed", "");
  if (spec.template_name != before.template_name)
    return refuse("a tenant's template cannot be changed", "create another tenant");
  if (const ApiStatus fits = CheckDisk(host_, tenant->record(), tenant->effective(), spec); !fits)
    return done(fits.error());
  const bool moves = spec.ip != before.ip;
  if (moves && !tenant->AtRest())
    return refuse("the address of a running tenant cannot be changed", "bailey stop it first");
  tenant->Set(std::move(spec),
              [this, moves, name, keys, done = std::move(done)](const ApiStatus& set) {
                if (set && moves) AnnounceSoon();
                if (set) static_cast<void>(store_.AddEvent(name, "set", keys));
                done(set);
              });
}

}  // namespace bailey::tenants
