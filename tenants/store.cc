#include "tenants/store.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>

#include "base/log.h"
#include "tenants/spec_json.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr int64_t kSchemaVersion = 1;
constexpr const char* kSchema = R"sql(
CREATE TABLE tenants (
  name        TEXT PRIMARY KEY,
  ip          TEXT NOT NULL UNIQUE,
  slot        INTEGER NOT NULL UNIQUE,
  spec        TEXT NOT NULL,
  generation  INTEGER NOT NULL,
  should_run  INTEGER NOT NULL,
  state       TEXT NOT NULL,
  state_since REAL NOT NULL,
  started_at  REAL NOT NULL,
  starts      INTEGER NOT NULL,
  error       TEXT NOT NULL
) STRICT;
CREATE TABLE events (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  time   REAL NOT NULL,
  tenant TEXT NOT NULL,
  kind   TEXT NOT NULL,
  text   TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_tenant ON events (tenant, id);
PRAGMA user_version = 1;
)sql";

std::optional<TenantState> ParseState(std::string_view name) {
  for (size_t i = 0; i < monitoring::kTenantStates; ++i)
    if (name == monitoring::StateName(static_cast<TenantState>(i)))
      return static_cast<TenantState>(i);
  return std::nullopt;
}

std::string ErrorText(const std::optional<ApiError>& error) {
  return error ? json::serialize(error->ToJson()) : std::string();
}

std::optional<ApiError> ParseError(const std::string& text) {
  if (text.empty()) return std::nullopt;
  json::error_code failed;
  const json::value value = json::parse(text, failed);
  if (failed || !value.is_object()) return ApiError{ApiCode::kFailed, text, {}, {}, {}};
  return ApiError::FromJson(value.get_object());
}

Result<TenantRecord> ReadRow(const Statement& row) {
  const std::string name = row.Text(0);
  auto spec = ParseSpecJson(row.Text(2));
  if (!spec) return spec.error().Within("tenant " + name + " in the database");
  const auto state = ParseState(row.Text(5));
  if (!state) return Invalid("tenant " + name + " in the database: unknown state " + row.Text(5));
  TenantRecord record;
  record.spec = std::move(*spec);
  record.slot = static_cast<uint32_t>(row.Number(1));
  record.generation = static_cast<int>(row.Number(3));
  record.should_run = row.Number(4) != 0;
  record.state = *state;
  record.state_since = row.Real(6);
  record.started_at = row.Real(7);
  record.starts = static_cast<uint64_t>(row.Number(8));
  record.error = ParseError(row.Text(9));
  return record;
}

// The parameters from `first` on: ip, spec, generation, should_run, state, since, started, starts,
// error.
void BindState(Statement& statement, int first, const TenantRecord& record) {
  statement.Bind(first, record.spec.ip->ToString())
      .Bind(first + 1, json::serialize(SpecToJson(record.spec)))
      .Bind(first + 2, int64_t{record.generation})
      .Bind(first + 3, int64_t{record.should_run})
      .Bind(first + 4, monitoring::StateName(record.state))
      .Bind(first + 5, record.state_since)
      .Bind(first + 6, record.started_at)
      .Bind(first + 7, static_cast<int64_t>(record.starts))
      .Bind(first + 8, ErrorText(record.error));
}

}  // namespace

double UnixNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<Store> Store::Open(const std::string& path) {
  auto database = Database::Open(path);
  if (!database) return database.error();
  auto version = database->Prepare("PRAGMA user_version");
  auto row = version.Step();
  if (!row) return row.error().Within(path);
  const int64_t found = version.Number(0);
  if (found > kSchemaVersion)
    return Errno(path + " was written by a newer Bailey", EPROTO)
        .WithHint("install that release again, or move the file away");
  if (found == 0) {
    auto transaction = Transaction::Begin(*database);
    if (!transaction) return transaction.error().Within(path);
    BAILEY_TRY(database->Execute(kSchema));
    BAILEY_TRY(transaction->Commit());
  }
  return Store(std::move(*database));
}

Result<std::vector<TenantRecord>> Store::Load() {
  auto query = database_.Prepare(
      "SELECT name, slot, spec, generation, should_run, state, state_since, started_at, starts, "
      "error FROM tenants ORDER BY name");
  std::vector<TenantRecord> records;
  for (;;) {
    auto row = query.Step();
    if (!row) return row.error();
    if (!*row) return records;
    auto record = ReadRow(query);
    if (!record) return record.error();
    records.push_back(std::move(*record));
  }
}

Result<uint32_t> Store::FreeSlot(uint32_t slots) {
  auto query = database_.Prepare("SELECT slot FROM tenants ORDER BY slot");
  uint32_t free = 0;
  for (;;) {
    auto row = query.Step();
    if (!row) return row.error();
    if (!*row || query.Number(0) != free) break;
    ++free;
  }
  if (free < slots) return free;
  return Errno("host ids for another tenant", ENOSPC)
      .WithHint("remove a tenant, or lower ids.first in bailey.toml");
}

// Which tenant is in the way.
Error Store::Conflict(const TenantRecord& record, const Error& cause) {
  if (cause.code != std::errc::file_exists) return cause;
  auto query = database_.Prepare("SELECT name FROM tenants WHERE ip = ?1 AND name <> ?2");
  const std::string ip = record.spec.ip->ToString();
  query.Bind(1, ip).Bind(2, record.name());
  auto row = query.Step();
  if (!row) return row.error();
  if (*row)
    return Errno("address " + ip + " belongs to tenant " + query.Text(0), EEXIST)
        .WithHint("give " + record.name() + " another address; bailey ls shows those in use");
  return Errno("there is already a tenant " + record.name(), EEXIST)
      .WithHint("choose another name, or remove it: bailey rm " + record.name());
}

Status Store::Create(TenantRecord& record, uint32_t slots) {
  auto transaction = Transaction::Begin(database_);
  if (!transaction) return transaction.error();
  auto slot = FreeSlot(slots);
  if (!slot) return slot.error();
  auto insert = database_.Prepare(
      "INSERT INTO tenants (name, slot, ip, spec, generation, should_run, state, state_since, "
      "started_at, starts, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
  insert.Bind(1, record.name()).Bind(2, int64_t{*slot});
  BindState(insert, 3, record);
  if (auto done = insert.Run(); !done) return Conflict(record, done.error());
  BAILEY_TRY(transaction->Commit());
  record.slot = *slot;
  return {};
}

Status Store::Update(const TenantRecord& record) {
  auto update = database_.Prepare(
      "UPDATE tenants SET ip = ?2, spec = ?3, generation = ?4, should_run = ?5, state = ?6, "
      "state_since = ?7, started_at = ?8, starts = ?9, error = ?10 WHERE name = ?1");
  update.Bind(1, record.name());
  BindState(update, 2, record);
  if (auto done = update.Run(); !done) return Conflict(record, done.error());
  if (database_.Changes() == 0) return Errno("tenant " + record.name(), ENOENT);
  return {};
}

Status Store::Remove(const std::string& name) {
  auto statement = database_.Prepare("DELETE FROM tenants WHERE name = ?1");
  statement.Bind(1, name);
  BAILEY_TRY(statement.Run());
  if (database_.Changes() == 0) return Errno("tenant " + name, ENOENT);
  return {};
}

Status Store::AddEvent(std::string_view tenant, std::string_view kind, std::string_view text) {
  auto insert =
      database_.Prepare("INSERT INTO events (time, tenant, kind, text) VALUES (?1, ?2, ?3, ?4)");
  insert.Bind(1, UnixNow()).Bind(2, tenant).Bind(3, kind).Bind(4, text);
  BAILEY_TRY(insert.Run());
  auto trim = database_.Prepare("DELETE FROM events WHERE id <= last_insert_rowid() - ?1");
  trim.Bind(1, kMostEvents);
  return trim.Run();
}

Result<std::vector<Event>> Store::Events(std::string_view tenant, int64_t limit) {
  auto query = database_.Prepare(
      "SELECT id, time, tenant, kind, text FROM events WHERE ?1 = '' OR tenant = ?1 "
      "ORDER BY id DESC LIMIT ?2");
  query.Bind(1, tenant).Bind(2, limit);
  std::vector<Event> events;
  for (;;) {
    auto row = query.Step();
    if (!row) return row.error();
    if (!*row) break;
    events.push_back({query.Number(0), query.Real(1), query.Text(2), query.Text(3), query.Text(4)});
  }
  std::ranges::reverse(events);
  return events;
}

}  // namespace bailey::tenants
