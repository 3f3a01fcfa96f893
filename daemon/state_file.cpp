#include "daemon/state_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "core/error.hpp"

namespace sluice {
namespace {

// Each brings the schema from the version of its place to the next. Instants are microseconds since 1970 UTC.
constexpr const char* schema_steps[] = {R"(
CREATE TABLE pipelines(
  name TEXT PRIMARY KEY, last_planned INTEGER, last_started INTEGER, last_succeeded INTEGER,
  consecutive_failures INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE runs(
  id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, trigger TEXT NOT NULL, planned INTEGER NOT NULL, started INTEGER NOT NULL,
  ended INTEGER, outcome TEXT, message TEXT NOT NULL, read INTEGER NOT NULL, inserted INTEGER NOT NULL,
  updated INTEGER NOT NULL, unchanged INTEGER NOT NULL, duplicate INTEGER NOT NULL, quarantined INTEGER NOT NULL,
  filtered INTEGER NOT NULL, deleted INTEGER NOT NULL, slices_published INTEGER NOT NULL, slices_failed INTEGER NOT NULL,
  attempt INTEGER NOT NULL, passing INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX runs_of_pipeline ON runs(pipeline, started);
CREATE INDEX runs_by_start ON runs(started);
CREATE INDEX open_runs ON runs(pipeline) WHERE ended IS NULL;
)",
                                        R"(
CREATE TABLE watermarks(
  pipeline TEXT, stream TEXT, watermark INTEGER NOT NULL, PRIMARY KEY(pipeline, stream)) WITHOUT ROWID;
)",
                                        R"(
CREATE TABLE run_logs(
  run TEXT, number INTEGER, time INTEGER NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL,
  PRIMARY KEY(run, number)) WITHOUT ROWID;
)",
                                        R"(
CREATE TABLE quotas(
  source TEXT, bucket TEXT, account TEXT NOT NULL, told INTEGER NOT NULL, tokens REAL NOT NULL,
  backfill_tokens REAL NOT NULL, closed_until INTEGER, reason TEXT NOT NULL, message TEXT NOT NULL,
  PRIMARY KEY(source, bucket)) WITHOUT ROWID;
)"};
constexpr int schema_version = std::size(schema_steps);

std::int64_t version_of(sqlite::Database& database) {
  return database.number("PRAGMA user_version").value_or(0);
}

// Run history names accounts and errors: for sluice's user only.
void make_folders(const std::filesystem::path& folder) {
  if (folder.empty() || std::filesystem::exists(folder)) return;
  make_folders(folder.parent_path());
  if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return;
  const auto reason = std::generic_category().message(errno);
  throw Error(Remedy::give_up, fmt::format("the state's folder {} cannot be made: {}; make it, or set state.url",
                                           folder.string(), reason));
}

void make_file(const std::string& path) {
  make_folders(std::filesystem::path(path).parent_path());
  // SQLite gives its side files the rights of this one; what is wrong here, SQLite's own open says.
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file >= 0) close(file);
}

void bring_up_to_date(sqlite::Database& database) {
  sqlite::Transaction transaction(database);
  // Another process may have been first.
  for (auto version = version_of(database); version >= 0 && version < schema_version; ++version)
    database.exec(schema_steps[version]);
  if (version_of(database) < schema_version) database.exec(fmt::format("PRAGMA user_version = {}", schema_version));
  transaction.commit();
}

void must_be_there(const std::string& path) {
  std::error_code hidden;
  if (std::filesystem::exists(path, hidden)) return;
  throw Error(
      Remedy::give_up,
      hidden ? fmt::format("the state {} cannot be seen: {}; ask as sluice's user or as root", path, hidden.message())
             : fmt::format("there is no state at {}: nothing has run yet, or state.url is another", path));
}

}  // namespace

std::unique_ptr<sqlite::Database> open_state(const std::string& path, sqlite::Access access) {
  if (access == sqlite::Access::read_write)
    make_file(path);
  else
    must_be_there(path);
  auto database = std::make_unique<sqlite::Database>(path, access);
  if (version_of(*database) < schema_version && access == sqlite::Access::read_write) bring_up_to_date(*database);
  const auto version = version_of(*database);
  if (version == schema_version) return database;
  if (version < schema_version)
    throw Error(Remedy::give_up,
                fmt::format("the state {} is of an older sluice: the next `sluice serve` or `sluice run` brings it up "
                            "to date",
                            path));
  throw Error(Remedy::give_up,
              fmt::format("the state {} has version {} and this sluice knows version {}: run the sluice that "
                          "wrote it, or set state.url to a new file",
                          path, version, schema_version));
}

void probe_state(sqlite::Database& database) {
  database.exec("PRAGMA synchronous = NORMAL");
  std::exception_ptr failure;
  try {
    sqlite::Transaction transaction(database);
    database.exec(fmt::format("PRAGMA user_version = {}", version_of(database)));
    transaction.commit();
  } catch (...) {
    failure = std::current_exception();
  }
  database.exec("PRAGMA synchronous = FULL");
  if (failure) std::rethrow_exception(failure);
}

std::string default_state_path() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  // systemd separates several folders by colons; the first is ours.
  if (const auto folder = variable("STATE_DIRECTORY"); !folder.empty())
    return folder.substr(0, folder.find(':')) + "/state.db";
  if (const auto folder = variable("XDG_STATE_HOME"); folder.starts_with('/')) return folder + "/sluice/state.db";
  auto home = variable("HOME");
  if (const auto* user = home.empty() ? getpwuid(getuid()) : nullptr) home = user->pw_dir;
  return home + "/.local/state/sluice/state.db";
}

}  // namespace sluice
