// Store: the tenants that should exist, what was last known of each, and what happened, in
// $STATE/bailey.db. Intents are on disk before they are acted upon: whoever starts after a crash
// reads what was meant. Not thread-safe; one process at a time (the daemon's lock sees to it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "monitoring/exposition.h"
#include "tenants/core_protocol.h"
#include "tenants/database.h"
#include "tenants/spec.h"

namespace bailey::tenants {

using monitoring::TenantState;

struct TenantRecord {
  Spec spec;                // as written
  int generation = 0;       // of the template, fixed at creation
  uint32_t slot = 0;        // its host ids: DaemonConfig::UidBase(slot)
  bool should_run = false;  // desired state
  TenantState state = TenantState::kDefined;
  double state_since = 0;  // Unix time
  double started_at = 0;   // Unix time; 0 unless it runs
  uint64_t starts = 0;
  std::optional<ApiError> error;  // why it failed

  const std::string& name() const { return spec.name; }
};

struct Event {
  int64_t id = 0;
  double time = 0;     // Unix time
  std::string tenant;  // may be empty
  std::string kind;    // "created", "started", "failed", …
  std::string text;
};

class Store {
 public:
  // EPROTO when the file was written by a newer Bailey.
  static Result<Store> Open(const std::string& path);

  // All tenants by name.
  Result<std::vector<TenantRecord>> Load();
  // Adds a tenant and gives it the lowest free slot below `slots` (in `record`). EEXIST with the
  // holder's name when the name or the address is taken; ENOSPC when there is no slot.
  Status Create(TenantRecord& record, uint32_t slots);
  // Replaces everything but name and slot. ENOENT; EEXIST as Create.
  Status Update(const TenantRecord& record);
  Status Remove(const std::string& name);

  // Events form a ring of kMostEvents.
  static constexpr int64_t kMostEvents = 10'000;
  Status AddEvent(std::string_view tenant, std::string_view kind, std::string_view text);
  // The last `limit` of one tenant, or of all ("" for the name), the oldest first.
  Result<std::vector<Event>> Events(std::string_view tenant, int64_t limit);

 private:
  explicit Store(Database database) : database_(std::move(database)) {}
  Result<uint32_t> FreeSlot(uint32_t slots);
  Error Conflict(const TenantRecord& record, const Error& cause);
  Database database_;
};

// Seconds since 1970 with fractions.
double UnixNow();

}  // namespace bailey::tenants
