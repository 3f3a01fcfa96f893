#include <fmt/format.h>

#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_books.hpp"
#include "sinks/sqlite_merge.hpp"
#include "sinks/sqlite_publish.hpp"
#include "sinks/table_plan.hpp"

// Rows of the quarantine that are tried again.

namespace sluice::sqlite {
namespace {

// Of a row in the table: neither the same read nor a later one brought it.
std::string older_than(const Target& target) {
  return fmt::format(
      "NOT EXISTS (SELECT 1 FROM main._sluice_loads AS l WHERE l.\"table_name\" = {} AND l.\"partition\" = {} AND "
      "l.\"started_at\" >= {} AND l.\"run\" = t.{} AND l.\"slice\" = t.{})",
      literal(target.table.name), literal(target.slice.partition().id), literal(stored_instant(target.read_started)),
      quoted_name(run_column), quoted_name(slice_column));
}

void drop_days(Database& database, const Target& target, const std::vector<DayWindow>& days) {
  for (const auto& window : days)
    database.run(fmt::format("DELETE FROM {} WHERE {} >= ? AND {} < ?", Stage::name,
                             quoted_name(target.table.cursor_column), quoted_name(target.table.cursor_column)),
                 format_day(window.from), format_day(window.to));
}

// The stage's rows as far as no later read has brought or taken away the like.
Merged write(Database& database, const Target& target, const std::string& now) {
  if (!target.table.key.empty()) {
    const auto rows = database.number(fmt::format("SELECT count(*) FROM {}", Stage::name)).value_or(0);
    return merge(database, target, rows, {}, now, older_than(target));
  }
  Merged merged;
  merged.inserted = database.run(insert_sql(target), target.run, target.slice.id(), now);
  return merged;
}

void update_quarantine(Database& database, const TriedAgain& tried) {
  auto remove = database.prepare(R"(DELETE FROM main._sluice_quarantine WHERE "id" = ?)");
  for (const auto& id : tried.fit) remove.bind_all(id).run();
  auto refuse = database.prepare(R"(UPDATE main._sluice_quarantine SET "reason" = ?, "rule" = ? WHERE "id" = ?)");
  for (const auto& [id, reject] : tried.refused) refuse.bind_all(reject->reason, reject->rule, id).run();
}

bool quarantined(Database& database, const std::string& id) {
  return database.number(R"(SELECT 1 FROM main._sluice_quarantine WHERE "id" = ?)", id).has_value();
}

}  // namespace

Replayed replay(Database& database, const Target& target, Stage& stage, const std::vector<QuarantinedRow>& rows,
                Instant now) {
  const auto stamp = stored_instant(now);
  Transaction transaction(database);
  for (const auto& row : rows)
    if (!database.number(R"(SELECT 1 FROM main._sluice_quarantine WHERE "id" = ? AND "run" = ?)", row.id, target.run))
      throw_not_quarantined(target.table, target.slice);
  if (stage.holding()) stage.spill();
  const auto& differing = stage.contradictions();
  if (!differing.empty())
    throw_contradiction(target.table, target.slice, std::vector<std::string>(differing.begin(), differing.end()));
  const auto later = later_windows(database, target, now);
  const auto overtaken_by = overtaken(target.slice, later);
  auto tried = tried_again(rows, stage.rejects());
  if (overtaken_by == Overtaken::wholly) tried = tried_again(rows, {});
  if (overtaken_by == Overtaken::partly) drop_days(database, target, later_days(later));
  Merged merged;
  if (overtaken_by != Overtaken::wholly && !tried.fit.empty()) merged = write(database, target, stamp);
  Replayed done;
  done.loaded = merged.inserted + merged.updated;
  done.skipped = static_cast<std::int64_t>(tried.fit.size()) - done.loaded;
  done.refused = static_cast<std::int64_t>(tried.refused.size());
  update_quarantine(database, tried);
  LedgerLine line;
  line.counts = counts_of(done, merged.inserted);
  line.superseded = true;  // it is no read of the window
  if (!tried.fit.empty()) write_ledger(database, target, line, stamp);
  commit(database, transaction, [&] { return !tried.fit.empty() && !quarantined(database, tried.fit.front()); });
  return done;
}

}  // namespace sluice::sqlite
