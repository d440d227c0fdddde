// Database: one SQLite connection and its statements, with Bailey's errors. Not thread-safe.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bailey::tenants {

// A prepared statement. Bind from 1, then Step until it says false.
class Statement {
 public:
  Statement& Bind(int index, std::string_view text);
  Statement& Bind(int index, int64_t number);
  Statement& Bind(int index, double number);
  // True: a row is there. False: done. EEXIST for a broken UNIQUE or PRIMARY KEY; EIO, ENOSPC, …
  Result<bool> Step();
  // Step() for statements that give no rows.
  Status Run();

  std::string Text(int column) const;
  int64_t Number(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  double Real(int column) const { return sqlite3_column_double(statement_.get(), column); }

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  // Makes the file (0600) if there is none. WAL, and every commit is on disk when it returns.
  static Result<Database> Open(const std::string& path);

  // SQL of ours: anything wrong with it is a bug, and aborts.
  Statement Prepare(const char* sql);
  // Several statements without parameters.
  Status Execute(const char* sql);
  // How many rows the last statement changed.
  int Changes() const { return sqlite3_changes(connection_.get()); }

 private:
  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
  };
  explicit Database(sqlite3* connection) : connection_(connection) {}
  std::unique_ptr<sqlite3, Close> connection_;
};

// BEGIN IMMEDIATE … COMMIT; rolls back unless Commit() was called.
class [[nodiscard]] Transaction {
 public:
  static Result<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status Commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace bailey::tenants
