#include "sinks/sqlite_publish.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>

#include "core/error.hpp"
#include "sinks/publish_rules.hpp"

namespace sluice::sqlite {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string insert_sql(const std::string& t, const Table& table) {
  std::vector<std::string> names;
  for (const auto& column : table.columns) names.push_back(column.name);
  const auto order = table.key.empty() ? " ORDER BY s.rowid" : "";
  return fmt::format("INSERT INTO {} AS t ({}, {}, {}, {}) SELECT {}, ?1, ?2, ?3 FROM {} AS s WHERE true{}", t,
                     quoted_list(names), sluice::quoted(run_column), sluice::quoted(slice_column),
                     sluice::quoted(loaded_at_column), quoted_list(names, "s."), Stage::name, order);
}

std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& column : table.columns) names.push_back(column.name);
  for (const auto own : {run_column, slice_column, loaded_at_column}) names.emplace_back(own);
  return names;
}

std::string insert_values_sql(const std::string& t, const Table& table) {
  const auto names = names_of(table);
  std::string values = "?1";
  for (std::size_t i = 2; i <= names.size(); ++i) values += fmt::format(", ?{}", i);
  return fmt::format("INSERT INTO {} ({}) VALUES ({})", t, quoted_list(names), values);
}

void replace_quarantine(Database& database, const Target& target, std::span<const Reject> rejects,
                        const std::string& now) {
  const auto& lane = target.lane;
  const auto slice = target.slice.id();
  std::map<std::string, std::string> first_seen;
  auto old = database.prepare(
      R"(SELECT "id", "first_seen" FROM main._sluice_quarantine WHERE "pipeline" = ? AND "stream" = ? AND "slice" = ?)");
  old.bind_all(lane.pipeline, lane.stream, slice);
  while (old.step()) first_seen.emplace(old.text(0), old.text(1));
  old.reset();
  if (!first_seen.empty())
    database.run(R"(DELETE FROM main._sluice_quarantine WHERE "pipeline" = ? AND "stream" = ? AND "slice" = ?)",
                 lane.pipeline, lane.stream, slice);
  const auto ids = quarantine_ids(lane, target.slice, rejects);
  auto insert = database.prepare(
      R"(INSERT INTO main._sluice_quarantine("id", "pipeline", "stream", "slice", "key", "reason", "rule", "raw", "run",
         "first_seen", "last_seen") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))");
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto& reject = rejects[i];
    const auto seen = first_seen.find(ids[i]);
    insert.bind_all(ids[i], lane.pipeline, lane.stream, slice, reject.key, reject.reason, reject.rule, reject.raw,
                    target.run, seen == first_seen.end() ? now : seen->second, now);
    insert.run();
  }
}

// One publication; `t` is the table, `s` the stage in all its SQL.
class Publisher {
 public:
  Publisher(Database& database, const Target& target, Stage& stage, const Publication& publication,
            const std::vector<std::string>& without, Instant now)
      : database_(database),
        target_(target),
        table_(target.table),
        scope_(scope_of(target.table)),
        stage_(stage),
        publication_(publication),
        without_(without),
        now_(stored_instant(now)),
        t_(table_of(target)) {}

  PublishResult run();

 private:
  void check_before();
  void move_progress();
  bool superseded();
  bool insert_held();
  std::int64_t delete_region();
  void load();
  void insert_all();
  void merge();
  void delete_missing();
  void note_rejected_keys();
  void write_ledger(bool superseded);
  void commit(Transaction& transaction);
  bool was_committed();
  std::string same_key() const;

  Database& database_;
  const Target& target_;
  const Table& table_;
  const Scope scope_;
  Stage& stage_;
  const Publication& publication_;
  const std::vector<std::string>& without_;
  const std::string now_;
  const std::string t_;
  PublishResult result_;
  Counts& counts_ = result_.published.counts;
};

PublishResult Publisher::run() {
  Transaction transaction(database_);
  move_progress();
  auto& published = result_.published;
  if (superseded()) {
    published.outcome = Published::Outcome::superseded;
    write_ledger(true);
    commit(transaction);
    return result_;
  }
  if (publication_.read == 0 && !publication_.believe_empty && region_has_rows(database_, target_)) {
    PublishResult again;
    again.published.outcome = Published::Outcome::confirm_empty;
    again.published.version = publication_.expected_version;
    return again;
  }
  const bool inserted = insert_held();
  check_before();
  counts_.read = publication_.read;
  counts_.filtered = publication_.filtered;
  counts_.duplicate = stage_.duplicates();
  counts_.quarantined = static_cast<std::int64_t>(stage_.rejects().size());
  if (!inserted) load();
  check_balance(table_, target_.slice, counts_);
  replace_quarantine(database_, target_, stage_.rejects(), now_);
  write_ledger(false);
  commit(transaction);
  return result_;
}

// The common case of first loads and backfills: rows that are in memory and meet nothing. Where it turns out not to be
// that, they go the long way.
bool Publisher::insert_held() {
  if (!stage_.holding()) return false;
  database_.exec("SAVEPOINT held");
  std::optional<std::int64_t> inserted;
  if (nothing_in_the_way(database_, target_)) {
    if (table_.key.empty()) counts_.deleted = delete_region();
    auto insert = database_.prepare(insert_values_sql(t_, table_));
    const auto own = static_cast<int>(table_.columns.size());
    insert.bind(own + 1, target_.run);
    insert.bind(own + 2, target_.slice.id());
    insert.bind(own + 3, now_);
    inserted = stage_.insert_held(insert);
  }
  if (!inserted) database_.exec("ROLLBACK TO held");
  database_.exec("RELEASE held");
  counts_.inserted = inserted.value_or(0);
  if (!inserted) {
    counts_.deleted = 0;
    stage_.spill();
  }
  return inserted.has_value();
}

void Publisher::check_before() {
  const auto& differing = stage_.contradictions();
  const std::vector<std::string> columns(differing.begin(), differing.end());
  if (!columns.empty()) throw_contradiction(table_, target_.slice, columns);
  check_reject_share(table_, target_.slice, publication_.read, stage_.rejects());
}

void Publisher::move_progress() {
  const auto& lane = target_.lane;
  const auto expected = publication_.expected_version;
  std::int64_t touched = 0;
  if (expected == 0)
    touched = database_.run(
        R"(INSERT INTO main._sluice_progress("pipeline", "stream", "partition", "lane", "done_to", "version", "updated_at",
             "table_name", "days")
           VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT DO NOTHING)",
        lane.pipeline, lane.stream, lane.partition, lane.lane, publication_.done_to, now_, table_.name,
        publication_.days);
  else
    touched = database_.run(
        R"(UPDATE main._sluice_progress SET
             "done_to" = CASE WHEN "table_name" = ?8 AND "days" = ?9 THEN coalesce(?5, "done_to") ELSE ?5 END,
             "version" = "version" + 1, "updated_at" = ?6, "table_name" = ?8, "days" = ?9
           WHERE "pipeline" = ?1 AND "stream" = ?2 AND "partition" = ?3 AND "lane" = ?4 AND "version" = ?7)",
        lane.pipeline, lane.stream, lane.partition, lane.lane, publication_.done_to, now_, expected, table_.name,
        publication_.days);
  if (touched != 1) throw_fenced(lane, expected);
  result_.published.version = expected + 1;
}

bool Publisher::superseded() {
  auto later = database_.prepare(
      R"(SELECT "window" FROM main._sluice_loads
         WHERE "table_name" = ? AND "partition" = ? AND "started_at" > ? AND NOT "superseded")");
  later.bind_all(table_.name, target_.slice.partition().id, stored_instant(target_.read_started));
  std::vector<std::string> windows;
  while (later.step()) windows.emplace_back(later.text(0));
  const auto verdict = overtaken(target_.slice, windows);
  if (verdict == Overtaken::partly) throw_overtaken(table_, target_.slice);
  return verdict == Overtaken::wholly;
}

void Publisher::load() {
  if (table_.key.empty()) counts_.deleted = delete_region();
  if (nothing_in_the_way(database_, target_)) return insert_all();
  if (scope_ != Scope::none) delete_missing();
  merge();
}

std::int64_t Publisher::delete_region() {
  return database_.run(fmt::format("DELETE FROM {} WHERE {}", t_, region_of(target_)));
}

std::string Publisher::same_key() const {
  std::string sql;
  for (const auto& name : table_.key)
    sql += fmt::format("{0}s.{1} = t.{1}", sql.empty() ? "" : " AND ", sluice::quoted(name));
  return sql;
}

void Publisher::insert_all() {
  counts_.inserted = database_.run(insert_sql(t_, table_), target_.run, target_.slice.id(), now_);
}

// One pass over the stage, which is never larger than the slice, whatever the table's size.
void Publisher::merge() {
  std::string sets, differs;
  for (const auto& column : table_.columns) {
    if (contains(table_.key, column.name) || contains(without_, column.name)) continue;
    const auto name = sluice::quoted(column.name);
    sets += fmt::format("{0} = excluded.{0}, ", name);
    differs += fmt::format("{0}t.{1} IS NOT excluded.{1}", differs.empty() ? "" : " OR ", name);
  }
  auto sql = insert_sql(t_, table_) + fmt::format(" ON CONFLICT ({}) DO ", quoted_list(table_.key));
  if (sets.empty()) {
    sql += "NOTHING";
  } else {
    for (const auto own : {run_column, slice_column, loaded_at_column})
      sets += fmt::format("{0} = excluded.{0}, ", sluice::quoted(own));
    sets.resize(sets.size() - 2);
    sql += fmt::format("UPDATE SET {} WHERE ({})", sets, differs);
    if (const auto* column = newness(table_))
      sql += fmt::format(" AND ({0} IS NULL OR {1} IS NULL OR {1} >= {0})", comparable(*column, "t."),
                         comparable(*column, "excluded."));
  }
  // CROSS JOIN: SQLite keeps the order, the stage outside.
  const auto known =
      database_
          .number(fmt::format("SELECT count(*) FROM {} AS s CROSS JOIN {} AS t WHERE {}", Stage::name, t_, same_key()))
          .value_or(0);
  const auto written = database_.run(sql, target_.run, target_.slice.id(), now_);
  counts_.inserted = stage_.rows() - known;
  counts_.updated = written - counts_.inserted;
  counts_.unchanged = known - counts_.updated;
}

void Publisher::delete_missing() {
  const auto& rejects = stage_.rejects();
  const auto unreadable = [&](const Reject& reject) { return readable_key(reject, table_).empty(); };
  result_.deletion_suspended = std::any_of(rejects.begin(), rejects.end(), unreadable);
  if (result_.deletion_suspended) return;
  auto sql = fmt::format("DELETE FROM {} AS t WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS s WHERE {})", t_,
                         region_of(target_), Stage::name, same_key());
  if (!rejects.empty()) {
    note_rejected_keys();
    std::string same;
    for (std::size_t i = 0; i < table_.key.size(); ++i)
      same += fmt::format("{}r.k{} = CAST(t.{} AS TEXT)", i == 0 ? "" : " AND ", i, sluice::quoted(table_.key[i]));
    sql += fmt::format(" AND NOT EXISTS (SELECT 1 FROM temp._rejected AS r WHERE {})", same);
  }
  counts_.deleted = database_.run(sql);
}

void Publisher::note_rejected_keys() {
  std::string columns, values;
  for (std::size_t i = 0; i < table_.key.size(); ++i) {
    columns += fmt::format("{}k{} TEXT", i == 0 ? "" : ", ", i);
    values += i == 0 ? "?" : ", ?";
  }
  database_.exec("DROP TABLE IF EXISTS temp._rejected");
  database_.exec(fmt::format("CREATE TABLE temp._rejected ({})", columns));
  auto insert = database_.prepare(fmt::format("INSERT INTO temp._rejected VALUES ({})", values));
  std::vector<const StoredColumn*> key;
  for (const auto& name : table_.key)
    key.push_back(
        &*std::find_if(stage_.columns().begin(), stage_.columns().end(), [&](auto& c) { return c.name() == name; }));
  for (const auto& reject : stage_.rejects()) {
    const auto parts = readable_key(reject, table_);
    for (std::size_t i = 0; i < parts.size(); ++i) insert.bind(static_cast<int>(i) + 1, key[i]->key_text(parts[i]));
    insert.run();
  }
}

void Publisher::write_ledger(bool superseded) {
  const auto& c = counts_;
  const auto& lane = target_.lane;
  database_.run(
      R"(INSERT INTO main._sluice_loads("run", "pipeline", "stream", "partition", "slice", "window", "started_at",
         "committed_at", "read", "inserted", "updated", "unchanged", "deleted", "duplicate", "filtered", "quarantined",
         "complete", "lane", "table_name", "version", "superseded")
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))",
      target_.run, lane.pipeline, lane.stream, target_.slice.partition().id, target_.slice.id(), target_.slice.window(),
      stored_instant(target_.read_started), now_, c.read, c.inserted, c.updated, c.unchanged, c.deleted, c.duplicate,
      c.filtered, c.quarantined, publication_.complete && without_.empty(), lane.lane, table_.name,
      result_.published.version, superseded);
}

void Publisher::commit(Transaction& transaction) {
  std::exception_ptr failure;
  try {
    transaction.commit();
    return;
  } catch (const Failure&) {
    failure = std::current_exception();
  }
  // The disk may fail after the moment that counts: what the file says is what happened.
  if (database_.in_transaction()) database_.exec("ROLLBACK");
  if (!was_committed()) std::rethrow_exception(failure);
}

bool Publisher::was_committed() {
  const auto& lane = target_.lane;
  return database_
      .number(
          R"(SELECT 1 FROM main._sluice_loads WHERE "pipeline" = ? AND "stream" = ? AND "partition" = ? AND "lane" = ?
                 AND "version" = ? AND "run" = ? AND "slice" = ?)",
          lane.pipeline, lane.stream, target_.slice.partition().id, lane.lane, result_.published.version, target_.run,
          target_.slice.id())
      .has_value();
}

}  // namespace

PublishResult publish(Database& database, const Target& target, Stage& stage, const Publication& publication,
                      const std::vector<std::string>& without, Instant now) {
  return Publisher(database, target, stage, publication, without, now).run();
}

void set_aside(Database& database, const Target& target, const Stage& stage, Instant now) {
  Transaction transaction(database);
  replace_quarantine(database, target, stage.rejects(), stored_instant(now));
  transaction.commit();
}

}  // namespace sluice::sqlite
