#include "sinks/sqlite_books.hpp"

#include <exception>
#include <map>

#include "core/clean_text.hpp"
#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_columns.hpp"

namespace sluice::sqlite {

std::vector<std::string> later_windows(Database& database, const Target& target, Instant now) {
  auto later = database.prepare(
      R"(SELECT "window" FROM main._sluice_loads
         WHERE "table_name" = ? AND "partition" = ? AND "started_at" > ? AND "started_at" <= ?
         AND NOT "superseded")");
  later.bind_all(target.table.name, target.slice.partition().id, stored_instant(target.read_started),
                 stored_instant(now + clocks_apart));
  std::vector<std::string> windows;
  while (later.step()) windows.emplace_back(later.text(0));
  return windows;
}

void replace_quarantine(Database& database, const Target& target, std::span<const Reject> rejects,
                        const std::string& now, std::string_view rule) {
  const auto& lane = target.lane;
  const auto slice = target.slice.id();
  const std::string of_slice =
      R"(FROM main._sluice_quarantine WHERE "pipeline" = ?1 AND "stream" = ?2 AND "slice" = ?3 AND (?4 = '' OR "rule" = ?4))";
  std::map<std::string, std::string> first_seen;
  auto old = database.prepare(R"(SELECT "id", "first_seen" )" + of_slice);
  old.bind_all(lane.pipeline, lane.stream, slice, rule);
  while (old.step()) first_seen.emplace(old.text(0), old.text(1));
  old.reset();
  if (!first_seen.empty()) database.run("DELETE " + of_slice, lane.pipeline, lane.stream, slice, rule);
  const auto ids = quarantine_ids(lane, target.slice, rejects);
  auto insert = database.prepare(
      R"(INSERT INTO main._sluice_quarantine("id", "pipeline", "stream", "slice", "key", "reason", "rule", "raw", "run",
         "first_seen", "last_seen") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))");
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto& reject = rejects[i];
    const auto seen = first_seen.find(ids[i]);
    insert.bind_all(ids[i], lane.pipeline, lane.stream, slice, reject.key, clean_text(reject.reason), reject.rule,
                    clean_text(reject.raw), target.run, seen == first_seen.end() ? now : seen->second, now);
    insert.run();
  }
}

void remove_answers_of_ranges(Database& database, const Target& target) {
  const auto ranges = ids_of_ranges(target.slice);
  if (!ranges) return;
  database.run(
      R"(DELETE FROM main._sluice_quarantine WHERE "pipeline" = ?1 AND "stream" = ?2 AND "run" <> ?3 AND "rule" = ?4
         AND substr("slice", 1, length(?5)) = ?5 AND instr(substr("slice", length(?5) + 1), '/(') = 0)",
      target.lane.pipeline, target.lane.stream, target.run, structure_rule, *ranges);
}

void write_ledger(Database& database, const Target& target, const LedgerLine& line, const std::string& now) {
  const auto& c = line.counts;
  const auto& lane = target.lane;
  database.run(
      R"(INSERT INTO main._sluice_loads("run", "pipeline", "stream", "partition", "slice", "window", "started_at",
         "committed_at", "read", "inserted", "updated", "unchanged", "deleted", "duplicate", "filtered", "quarantined",
         "complete", "lane", "table_name", "version", "superseded")
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))",
      target.run, lane.pipeline, lane.stream, target.slice.partition().id, target.slice.id(), target.slice.window(),
      stored_instant(target.read_started), now, c.read, c.inserted, c.updated, c.unchanged, c.deleted, c.duplicate,
      c.filtered, c.quarantined, line.complete, lane.lane, target.table.name, line.version, line.superseded);
}

std::vector<BookEntry> books_before(Database& database, Instant before) {
  std::vector<BookEntry> entries;
  const auto has = [&](const char* table) {
    return database.number("SELECT 1 FROM sqlite_schema WHERE name = ?", table).has_value();
  };
  if (has("_sluice_loads")) {
    auto lines = database.prepare(
        R"(SELECT l.rowid FROM _sluice_loads AS l LEFT JOIN (
             SELECT "table_name", "partition", "window", max("started_at") AS newest FROM _sluice_loads
             WHERE NOT "superseded" GROUP BY 1, 2, 3) USING ("table_name", "partition", "window")
           WHERE l."committed_at" < ? AND (l."superseded" OR "window" LIKE '(%' OR l."started_at" < newest))");
    lines.bind_all(stored_instant(before));
    while (lines.step()) entries.push_back({lines.integer(0), {}});
  }
  if (has("_sluice_quarantine")) {
    auto rows = database.prepare(R"(SELECT "id" FROM _sluice_quarantine WHERE "last_seen" < ?)");
    rows.bind_all(stored_instant(before));
    while (rows.step()) entries.push_back({0, std::string(rows.text(0))});
  }
  return entries;
}

void forget(Database& database, const std::vector<BookEntry>& entries, Instant before) {
  Transaction transaction(database);
  // Since they were looked for, another process may have written anew what they stand for.
  auto line = database.prepare(R"(DELETE FROM _sluice_loads WHERE rowid = ? AND "committed_at" < ?)");
  auto row = database.prepare(R"(DELETE FROM _sluice_quarantine WHERE "id" = ? AND "last_seen" < ?)");
  for (const auto& entry : entries) {
    if (entry.quarantined.empty())
      line.bind_all(entry.line, stored_instant(before)).run();
    else
      row.bind_all(entry.quarantined, stored_instant(before)).run();
  }
  transaction.commit();
}

void commit(Database& database, Transaction& transaction, const std::function<bool()>& was_committed) {
  std::exception_ptr failure;
  try {
    transaction.commit();
    return;
  } catch (const Failure&) {
    failure = std::current_exception();
  }
  if (database.in_transaction()) database.exec("ROLLBACK");
  if (!was_committed()) std::rethrow_exception(failure);
}

}  // namespace sluice::sqlite
