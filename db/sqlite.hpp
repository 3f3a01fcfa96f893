#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.hpp"

struct sqlite3;
struct sqlite3_stmt;

// SQLite without its error codes. Every call blocks: keep a Database and all that comes from it on one Worker.
// A failing call throws Error: `retry` for what passes (a lock, a full disk), `give_up` for what a person must mend.

namespace sluice::sqlite {

// What SQLite itself says: the file, the disk or a lock is the matter, not the rows.
class Failure : public Error {
 public:
  using Error::Error;
};

// A prepared statement. Parameters are counted from 1 and columns from 0, as SQLite does.
class Statement {
 public:
  Statement(sqlite3_stmt* handle, const std::string* path) : handle_(handle), path_(path) {}

  void bind(int at, std::int64_t value);
  void bind(int at, int value) { bind(at, std::int64_t{value}); }
  void bind(int at, bool value) { bind(at, std::int64_t{value}); }
  void bind(int at, double value);
  // The text is copied, or, with `bind_view`, must stay where it is until the statement has been stepped and reset.
  void bind(int at, std::string_view value);
  void bind(int at, const char* value) { bind(at, std::string_view(value)); }
  void bind(int at, const std::string& value) { bind(at, std::string_view(value)); }
  void bind(int at, const std::optional<std::string>& value);
  void bind(int at, const std::optional<std::int64_t>& value);
  void bind_view(int at, std::string_view value);
  void bind_blob_view(int at, std::string_view value);
  void bind_null(int at);
  template <typename... Values>
  Statement& bind_all(const Values&... values) {
    int at = 0;
    (bind(++at, values), ...);
    return *this;
  }

  // True when it stands on a row, false when it has ended.
  bool step();
  // To its end; ready to be bound and run again.
  void run();
  void reset();

  int columns() const;
  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  double real(int column) const;
  // Good until the next step or reset.
  std::string_view text(int column) const;
  std::optional<std::string> maybe_text(int column) const;
  std::optional<std::int64_t> maybe_integer(int column) const;

 private:
  void check(int code) const;
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  const std::string* path_;
};

enum class Access { read_only, read_write };

// One connection to one file.
class Database {
 public:
  // Read-write makes the file where it is missing, in WAL mode; its folder must exist.
  explicit Database(std::string path, Access access = Access::read_write,
                    std::chrono::milliseconds busy_timeout = std::chrono::seconds(10));
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // One statement or several.
  void exec(const std::string& sql);
  // `kept`: it will be used many times.
  Statement prepare(std::string_view sql, bool kept = false);
  // Runs one statement with parameters and gives the number of rows that it changed.
  template <typename... Values>
  std::int64_t run(std::string_view sql, const Values&... values) {
    prepare(sql).bind_all(values...).run();
    return changes();
  }
  // The first column of the first row as a number; nothing when there is no row, or NULL.
  template <typename... Values>
  std::optional<std::int64_t> number(std::string_view sql, const Values&... values) {
    auto statement = prepare(sql);
    if (!statement.bind_all(values...).step()) return {};
    return statement.maybe_integer(0);
  }
  std::int64_t changes() const;
  bool in_transaction() const;
  const std::string& path() const { return *path_; }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<std::string> path_;  // where statements find it after a move
  std::unique_ptr<sqlite3, Close> handle_;
};

// BEGIN IMMEDIATE … COMMIT; rolled back where `commit` was not reached.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) { database_.exec("BEGIN IMMEDIATE"); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit() { database_.exec("COMMIT"); }

 private:
  Database& database_;
};

// 'it''s'
std::string literal(std::string_view text);
// The file that a `sqlite:///absolute/path` or `sqlite://./relative/path` names; throws Error(give_up) for other URLs.
std::string path_of_url(const std::string& url);

}  // namespace sluice::sqlite
