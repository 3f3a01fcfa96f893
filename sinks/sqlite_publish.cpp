#include "sinks/sqlite_publish.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_books.hpp"
#include "sinks/sqlite_merge.hpp"

namespace sluice::sqlite {
namespace {

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
        published_(now),
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
  void delete_missing();
  void note_rejected_keys();
  void finish(Transaction& transaction, bool superseded);
  bool was_committed();

  Database& database_;
  const Target& target_;
  const Table& table_;
  const Scope scope_;
  Stage& stage_;
  const Publication& publication_;
  const std::vector<std::string>& without_;
  const Instant published_;
  const std::string now_;  // the same, as it is stored
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
    finish(transaction, true);
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
  remove_answers_of_ranges(database_, target_);
  finish(transaction, false);
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
  result_.published.repaired = stage_.repaired();
}

bool Publisher::superseded() {
  const auto verdict = overtaken(target_.slice, later_windows(database_, target_, published_));
  if (verdict == Overtaken::partly) throw_overtaken(table_, target_.slice);
  return verdict == Overtaken::wholly;
}

void Publisher::load() {
  if (table_.key.empty()) counts_.deleted = delete_region();
  if (nothing_in_the_way(database_, target_)) return insert_all();
  if (scope_ != Scope::none) delete_missing();
  const auto merged = merge(database_, target_, stage_.rows(), without_, now_);
  counts_.inserted = merged.inserted;
  counts_.updated = merged.updated;
  counts_.unchanged = stage_.rows() - merged.inserted - merged.updated;
}

std::int64_t Publisher::delete_region() {
  return database_.run(fmt::format("DELETE FROM {} WHERE {}", t_, region_of(target_)));
}

void Publisher::insert_all() {
  counts_.inserted = database_.run(insert_sql(target_), target_.run, target_.slice.id(), now_);
}

void Publisher::delete_missing() {
  const auto& rejects = stage_.rejects();
  const auto unreadable = [&](const Reject& reject) { return readable_key(reject, table_).empty(); };
  result_.deletion_suspended = std::any_of(rejects.begin(), rejects.end(), unreadable);
  if (result_.deletion_suspended) return;
  auto sql = fmt::format("DELETE FROM {} AS t WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS s WHERE {})", t_,
                         region_of(target_), Stage::name, same_key(table_));
  if (!rejects.empty()) {
    note_rejected_keys();
    std::string same;
    for (std::size_t i = 0; i < table_.key.size(); ++i)
      same += fmt::format("{}r.k{} = CAST(t.{} AS TEXT)", i == 0 ? "" : " AND ", i, quoted_name(table_.key[i]));
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

void Publisher::finish(Transaction& transaction, bool superseded) {
  LedgerLine line;
  line.counts = counts_;
  line.complete = publication_.complete && without_.empty();
  line.version = result_.published.version;
  line.superseded = superseded;
  write_ledger(database_, target_, line, now_);
  commit(database_, transaction, [this] { return was_committed(); });
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
  replace_quarantine(database, target, stage.rejects(), stored_instant(now), structure_rule);
  transaction.commit();
}

}  // namespace sluice::sqlite
