#include "db/sqlite.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include "core/error.hpp"

namespace sluice::sqlite {
namespace {

struct Advice {
  Remedy remedy;
  std::string_view what_to_do;
};

// https://sqlite.org/rescode.html
Advice advice(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Remedy::retry, "another process holds the file's write lock; it is tried again"};
    case SQLITE_FULL:
      return {Remedy::retry, "nothing was written; free space where the file lies, it is tried again"};
    case SQLITE_IOERR:
      return {Remedy::retry, "nothing was written; look for disk errors, quotas and free space, it is tried again"};
    case SQLITE_PROTOCOL:
    case SQLITE_SCHEMA:
    case SQLITE_INTERRUPT:
    case SQLITE_NOMEM:
      return {Remedy::retry, "it is tried again"};
    case SQLITE_CANTOPEN:
      return {Remedy::give_up, "check that the folder exists and that sluice's user may write in it"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return {Remedy::give_up, "give sluice's user the right to write the file and its folder"};
    case SQLITE_NOTADB:
      return {Remedy::give_up, "it is not an SQLite database; name another file"};
    case SQLITE_CORRUPT:
      return {Remedy::give_up,
              "the file is damaged; restore it from a backup, or recover it with `sqlite3 FILE .recover`"};
    case SQLITE_TOOBIG:
      return {Remedy::give_up, "a value is larger than SQLite's limit of 1 GB"};
    default:
      return {Remedy::give_up, {}};
  }
}

[[noreturn]] void raise(sqlite3* handle, int code, const std::string& path) {
  const auto [remedy, what_to_do] = advice(code);
  // The connection's own message says more than the code's, where it is of this error.
  std::string reason = sqlite3_errstr(code);
  if (handle && (sqlite3_errcode(handle) & 0xff) == (code & 0xff)) reason = sqlite3_errmsg(handle);
  auto message = fmt::format("SQLite file {}: {}", path, reason);
  if (!what_to_do.empty()) message += fmt::format(" ({}): {}", sqlite3_errstr(code & 0xff), what_to_do);
  throw Failure(remedy, message);
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* handle) const {
  sqlite3_finalize(handle);
}

void Statement::check(int code) const {
  if (code != SQLITE_OK) raise(sqlite3_db_handle(handle_.get()), code, *path_);
}

void Statement::bind(int at, std::int64_t value) {
  check(sqlite3_bind_int64(handle_.get(), at, value));
}
void Statement::bind(int at, double value) {
  check(sqlite3_bind_double(handle_.get(), at, value));
}
void Statement::bind(int at, std::string_view value) {
  check(sqlite3_bind_text64(handle_.get(), at, value.data() ? value.data() : "", value.size(), SQLITE_TRANSIENT,
                            SQLITE_UTF8));
}
void Statement::bind_view(int at, std::string_view value) {
  check(sqlite3_bind_text64(handle_.get(), at, value.data() ? value.data() : "", value.size(), SQLITE_STATIC,
                            SQLITE_UTF8));
}
void Statement::bind_blob_view(int at, std::string_view value) {
  check(sqlite3_bind_blob64(handle_.get(), at, value.data() ? value.data() : "", value.size(), SQLITE_STATIC));
}
void Statement::bind_null(int at) {
  check(sqlite3_bind_null(handle_.get(), at));
}
void Statement::bind(int at, const std::optional<std::string>& value) {
  value ? bind(at, *value) : bind_null(at);
}
void Statement::bind(int at, const std::optional<std::int64_t>& value) {
  value ? bind(at, *value) : bind_null(at);
}

bool Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  auto* database = sqlite3_db_handle(handle_.get());
  const int extended = sqlite3_extended_errcode(database);
  try {
    raise(database, (extended & 0xff) == (code & 0xff) ? extended : code, *path_);
  } catch (...) {
    sqlite3_reset(handle_.get());
    throw;
  }
}

void Statement::run() {
  while (step()) continue;
  reset();
}

void Statement::reset() {
  sqlite3_reset(handle_.get());
}

int Statement::columns() const {
  return sqlite3_column_count(handle_.get());
}
bool Statement::is_null(int column) const {
  return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
}
std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}
double Statement::real(int column) const {
  return sqlite3_column_double(handle_.get(), column);
}
std::string_view Statement::text(int column) const {
  const auto* data = sqlite3_column_blob(handle_.get(), column);
  if (sqlite3_column_type(handle_.get(), column) != SQLITE_BLOB) data = sqlite3_column_text(handle_.get(), column);
  if (!data) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))};
}
std::optional<std::string> Statement::maybe_text(int column) const {
  if (is_null(column)) return {};
  return std::string(text(column));
}
std::optional<std::int64_t> Statement::maybe_integer(int column) const {
  if (is_null(column)) return {};
  return integer(column);
}

void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close_v2(handle);
}

Database::Database(std::string path, Access access, std::chrono::milliseconds busy_timeout)
    : path_(std::make_unique<std::string>(std::move(path))) {
  sqlite3* handle = nullptr;
  const int flags = access == Access::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  // Each connection stays on one thread: SQLite need not lock for itself.
  const int code =
      sqlite3_open_v2(path_->c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) raise(handle, code, *path_);
  sqlite3_busy_timeout(handle, static_cast<int>(busy_timeout.count()));
  if (access == Access::read_write) exec("PRAGMA journal_mode = WAL");
  exec("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF");
}

void Database::exec(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) raise(handle_.get(), code, *path_);
}

Statement Database::prepare(std::string_view sql, bool kept) {
  sqlite3_stmt* statement = nullptr;
  const unsigned flags = kept ? SQLITE_PREPARE_PERSISTENT : 0;
  const int code =
      sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), flags, &statement, nullptr);
  if (code != SQLITE_OK) raise(handle_.get(), code, *path_);
  return Statement(statement, path_.get());
}

std::int64_t Database::changes() const {
  return sqlite3_changes64(handle_.get());
}
bool Database::in_transaction() const {
  return sqlite3_get_autocommit(handle_.get()) == 0;
}

Transaction::~Transaction() {
  // A full disk may have rolled it back already. Rolling back needs no space; what fails is left to recovery.
  if (!database_.in_transaction()) return;
  try {
    database_.exec("ROLLBACK");
  } catch (const Error&) {
    return;
  }
}

std::string literal(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += c;
    out += c;
  }
  return out + "'";
}

std::string path_of_url(const std::string& url) {
  constexpr std::string_view scheme = "sqlite://";
  const bool named = url.starts_with(scheme) && url.size() > scheme.size() + 1;
  if (named && (url[scheme.size()] == '/' || url[scheme.size()] == '.')) return url.substr(scheme.size());
  throw Error(
      Remedy::give_up,
      fmt::format("\"{}\" does not name an SQLite file: write sqlite:///absolute/path.db or sqlite://./relative.db",
                  url));
}

}  // namespace sluice::sqlite
