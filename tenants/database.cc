#include "tenants/database.h"

#include <fcntl.h>

#include "base/files.h"
#include "base/log.h"

namespace bailey::tenants {
namespace {

int ErrnoOf(int code) {
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      return EEXIST;
    case SQLITE_FULL:
      return ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return EBUSY;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return EACCES;
    case SQLITE_NOMEM:
      return ENOMEM;
    default:
      return EIO;
  }
}

Error Failure(sqlite3* connection) {
  return Errno(std::string("database: ") + sqlite3_errmsg(connection),
               ErrnoOf(sqlite3_extended_errcode(connection)));
}

}  // namespace

Statement& Statement::Bind(int index, std::string_view text) {
  BAILEY_CHECK(sqlite3_bind_text(statement_.get(), index, text.data(),
                                 static_cast<int>(text.size()), SQLITE_TRANSIENT) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(int index, int64_t number) {
  BAILEY_CHECK(sqlite3_bind_int64(statement_.get(), index, number) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(int index, double number) {
  BAILEY_CHECK(sqlite3_bind_double(statement_.get(), index, number) == SQLITE_OK);
  return *this;
}

Result<bool> Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return Failure(sqlite3_db_handle(statement_.get()));
}

Status Statement::Run() {
  auto stepped = Step();
  if (!stepped) return stepped.error();
  return {};
}

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_.get(), column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

Result<Database> Database::Open(const std::string& path) {
  // SQLite would make it with the umask's mode; its -wal and -shm take after it.
  auto file = OpenPath(path, O_RDWR | O_CREAT, 0600);
  if (!file) return file.error();
  file->Reset();
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &connection, SQLITE_OPEN_READWRITE, nullptr);
  Database database(connection);
  if (code != SQLITE_OK)
    return connection != nullptr ? Failure(connection).Within(path)
                                 : bailey::Errno("open " + path, ENOMEM);
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, 2000);
  if (auto set = database.Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"); !set)
    return set.error().Within(path);
  return database;
}

Statement Database::Prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(connection_.get(), sql, -1, &statement, nullptr);
  if (code != SQLITE_OK) LogError(std::string(sqlite3_errmsg(connection_.get())) + " in: " + sql);
  BAILEY_CHECK(code == SQLITE_OK);
  return Statement(statement);
}

Status Database::Execute(const char* sql) {
  if (sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return Failure(connection_.get());
  return {};
}

Result<Transaction> Transaction::Begin(Database& database) {
  BAILEY_TRY(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  if (auto undone = database_->Execute("ROLLBACK"); !undone) LogError(undone.error().Message());
}

Status Transaction::Commit() {
  BAILEY_TRY(database_->Execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace bailey::tenants
