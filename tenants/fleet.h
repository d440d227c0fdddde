// Fleet: all tenants by name; creating, removing and changing them. Keeps the promise that each
// knows its neighbours' addresses. Runs on the daemon's loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tenants/background.h"
#include "tenants/tenant.h"

namespace bailey::tenants {

class Fleet {
 public:
  using Done = Tenant::Done;

  Fleet(EventLoop& loop, Store& store, const Host& host, Background& background);
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Reads the store; then `ready`, from the loop, once every living supervisor has been found.
  Status Load(std::function<void()> ready);

  const std::map<std::string, std::shared_ptr<Tenant>>& tenants() const { return tenants_; }
  ApiResult<std::shared_ptr<Tenant>> Find(const std::string& name) const;
  // The names of the tenants whose roots are made of template `name`.
  std::vector<std::string> UsersOfTemplate(const std::string& name) const;

  // A complete spec (CheckComplete). Its template and plan must be there.
  ApiResult<std::shared_ptr<Tenant>> Create(Spec spec);
  // One that runs is refused (kInUse) unless `force`, which stops it first. `done` once nothing is
  // left of it.
  void Remove(const std::string& name, bool force, Done done);
  // Each by SetSpecKey; all or none.
  void Set(const std::string& name, const boost::json::object& changes, Done done);
  // What every proxy is told has changed: the addresses of tenants, the host's resolvers.
  void AnnounceSoon();

 private:
  std::vector<IpAddress> PeersOf(const std::string& name) const;
  void RemoveAtRest(const std::shared_ptr<Tenant>& tenant, const Done& done);
  void Discard(const std::string& path);

  EventLoop& loop_;
  Store& store_;
  const Host& host_;
  Background& background_;
  TenantContext context_;
  std::map<std::string, std::shared_ptr<Tenant>> tenants_;
  bool announcing_ = false;
};

}  // namespace bailey::tenants
