#include "daemon/state.hpp"

#include <fmt/format.h>

#include "daemon/lock.hpp"
#include "daemon/log.hpp"
#include "daemon/state_file.hpp"

namespace sluice {
namespace {

using sqlite::Database;
using sqlite::Statement;

constexpr std::int64_t pruned_at_once = 500;

constexpr std::string_view run_columns =
    "id, pipeline, trigger, planned, started, ended, outcome, message, read, inserted, updated, unchanged, duplicate, "
    "quarantined, filtered, deleted, slices_published, slices_failed, attempt, passing";

std::int64_t ticks(Instant when) {
  return when.time_since_epoch().count();
}
std::optional<std::int64_t> ticks(const std::optional<Instant>& when) {
  if (!when) return {};
  return ticks(*when);
}
Instant instant(std::int64_t ticks) {
  return Instant(Duration(ticks));
}
std::optional<Instant> instant(const std::optional<std::int64_t>& ticks) {
  if (!ticks) return {};
  return instant(*ticks);
}

std::optional<Outcome> parse_outcome(const std::optional<std::string>& text) {
  for (const auto outcome : {Outcome::succeeded, Outcome::partial, Outcome::failed, Outcome::cancelled})
    if (text == to_string(outcome)) return outcome;
  return {};
}

RunRecord record_of(const Statement& row) {
  RunRecord run;
  int at = 0;
  const auto text = [&] { return std::string(row.text(at++)); };
  const auto number = [&] { return row.integer(at++); };
  run.id = text();
  run.pipeline = text();
  run.trigger = text();
  run.planned = instant(number());
  run.started = instant(number());
  run.ended = instant(row.maybe_integer(at++));
  run.outcome = parse_outcome(row.maybe_text(at++));
  run.message = text();
  auto& c = run.counts;
  for (auto* count :
       {&c.read, &c.inserted, &c.updated, &c.unchanged, &c.duplicate, &c.quarantined, &c.filtered, &c.deleted})
    *count = number();
  run.slices_published = number();
  run.slices_failed = number();
  run.attempt = static_cast<int>(number());
  run.passing = number() != 0;
  return run;
}

std::vector<RunRecord> records_of(Statement& rows) {
  std::vector<RunRecord> runs;
  while (rows.step()) runs.push_back(record_of(rows));
  return runs;
}

void put_run(Database& database, const RunRecord& run) {
  std::optional<std::string> outcome;
  if (run.outcome) outcome = std::string(to_string(*run.outcome));
  const auto& c = run.counts;
  database.run(
      fmt::format("INSERT OR REPLACE INTO runs({}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", run_columns),
      run.id, run.pipeline, run.trigger, ticks(run.planned), ticks(run.started), ticks(run.ended), outcome, run.message,
      c.read, c.inserted, c.updated, c.unchanged, c.duplicate, c.quarantined, c.filtered, c.deleted,
      run.slices_published, run.slices_failed, run.attempt, run.passing);
}

void touch_pipeline(Database& database, const std::string& name) {
  database.run("INSERT OR IGNORE INTO pipelines(name) VALUES (?)", name);
}

void settle_pipeline(Database& database, const RunRecord& run) {
  if (run.trigger == "backfill") return;
  touch_pipeline(database, run.pipeline);
  if (run.outcome == Outcome::succeeded)
    database.run(
        "UPDATE pipelines SET consecutive_failures = 0, last_succeeded = max(coalesce(last_succeeded, ?1), ?1) "
        "WHERE name = ?2",
        ticks(run.started), run.pipeline);
  if (run.outcome == Outcome::failed || run.outcome == Outcome::partial)
    database.run("UPDATE pipelines SET consecutive_failures = consecutive_failures + 1 WHERE name = ?", run.pipeline);
  for (const auto& [stream, watermark] : run.watermarks)
    database.run("INSERT OR REPLACE INTO watermarks(pipeline, stream, watermark) VALUES (?, ?, ?)", run.pipeline,
                 stream, ticks(watermark));
}

}  // namespace

// A change that waits for the next transaction.
struct SqliteStateStore::Write {
  std::function<void(Database&)> change;
  std::exception_ptr failure;
  bool done = false;
};

SqliteStateStore::SqliteStateStore(std::string path, asio::any_io_executor executor, Clock& clock,
                                   sqlite::Access access)
    : path_(std::move(path)), access_(access), clock_(clock), written_(std::move(executor)) {}

SqliteStateStore::~SqliteStateStore() = default;

Database& SqliteStateStore::database() {
  if (!database_) database_ = open_state(path_, access_);
  return *database_;
}

task<void> SqliteStateStore::write(std::function<void(Database&)> change) {
  auto mine = std::make_shared<Write>();
  mine->change = std::move(change);
  waiting_.push_back(mine);
  // What has been handed over is written, although the one who did it was cancelled.
  co_await shield(write_queued(mine));
}

// The first to come writes for all that wait.
task<void> SqliteStateStore::write_queued(std::shared_ptr<Write> mine) {
  while (!mine->done) {
    if (writing_)
      co_await written_.wait();
    else
      co_await commit_waiting();
  }
  if (mine->failure) std::rethrow_exception(mine->failure);
}

task<void> SqliteStateStore::commit_waiting() {
  const auto batch = std::make_shared<std::deque<std::shared_ptr<Write>>>();
  auto commit = [this, batch] {
    auto& db = database();
    sqlite::Transaction transaction(db);
    for (const auto& one : *batch) {
      db.exec("SAVEPOINT one");
      try {
        one->change(db);
        db.exec("RELEASE one");
      } catch (...) {
        // A full disk has ended the whole transaction: then it is everybody's failure.
        if (!db.in_transaction()) throw;
        one->failure = std::current_exception();
        db.exec("ROLLBACK TO one; RELEASE one");
      }
    }
    transaction.commit();
  };
  // From here on others wait for this transaction: what may fail for lack of memory stands above, or is caught.
  writing_ = true;
  batch->swap(waiting_);
  std::exception_ptr failure;
  try {
    co_await worker_.run(std::move(commit));
    ++commits_;
  } catch (...) {
    failure = std::current_exception();
  }
  for (const auto& one : *batch) {
    if (failure) one->failure = failure;
    one->done = true;
  }
  writing_ = false;
  written_.notify_all();
}

task<PipelineState> SqliteStateStore::pipeline(const std::string& name) {
  auto read = [this, name] {
    PipelineState state;
    auto row = database().prepare(
        "SELECT last_planned, last_started, last_succeeded, consecutive_failures, paused FROM pipelines WHERE name = "
        "?");
    auto watermarks = database().prepare("SELECT stream, watermark FROM watermarks WHERE pipeline = ?");
    watermarks.bind_all(name);
    while (watermarks.step()) state.watermarks.emplace(watermarks.text(0), instant(watermarks.integer(1)));
    if (!row.bind_all(name).step()) return state;
    state.last_planned = instant(row.maybe_integer(0));
    state.last_started = instant(row.maybe_integer(1));
    state.last_succeeded = instant(row.maybe_integer(2));
    state.consecutive_failures = row.integer(3);
    state.paused = row.integer(4) != 0;
    return state;
  };
  co_return co_await worker_.run(std::move(read));
}

task<std::vector<QuotaRecord>> SqliteStateStore::quotas(std::string source) {
  auto read = [this, source = std::move(source)] {
    std::vector<QuotaRecord> all;
    auto rows = database().prepare(
        "SELECT bucket, account, told, tokens, backfill_tokens, closed_until, reason, message FROM quotas WHERE source "
        "= ?");
    rows.bind_all(source);
    while (rows.step()) {
      auto& quota = all.emplace_back();
      quota.source = source;
      quota.bucket = rows.text(0);
      quota.account = rows.text(1);
      quota.told = instant(rows.integer(2));
      quota.tokens = rows.real(3);
      quota.backfill_tokens = rows.real(4);
      quota.closed_until = instant(rows.maybe_integer(5));
      quota.reason = rows.text(6);
      quota.message = rows.text(7);
    }
    return all;
  };
  co_return co_await worker_.run(std::move(read));
}

task<void> SqliteStateStore::keep_quota(QuotaRecord quota) {
  std::function<void(Database&)> change = [quota = std::move(quota)](Database& db) {
    db.run("INSERT OR REPLACE INTO quotas VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", quota.source, quota.bucket,
           quota.account, ticks(quota.told), quota.tokens, quota.backfill_tokens, ticks(quota.closed_until),
           quota.reason, quota.message);
  };
  co_await write(std::move(change));
}

task<void> SqliteStateStore::set_paused(const std::string& pipeline, bool paused) {
  std::function<void(Database&)> change = [pipeline, paused](Database& db) {
    touch_pipeline(db, pipeline);
    db.run("UPDATE pipelines SET paused = ? WHERE name = ?", paused, pipeline);
  };
  co_await write(std::move(change));
}

task<void> SqliteStateStore::set_last_planned(const std::string& pipeline, Instant planned) {
  std::function<void(Database&)> change = [pipeline, planned](Database& db) {
    touch_pipeline(db, pipeline);
    db.run("UPDATE pipelines SET last_planned = max(coalesce(last_planned, ?1), ?1) WHERE name = ?2", ticks(planned),
           pipeline);
  };
  co_await write(std::move(change));
}

task<void> SqliteStateStore::run_started(const RunRecord& run) {
  std::function<void(Database&)> change = [run](Database& db) {
    put_run(db, run);
    if (run.trigger == "backfill") return;
    touch_pipeline(db, run.pipeline);
    db.run("UPDATE pipelines SET last_started = max(coalesce(last_started, ?1), ?1) WHERE name = ?2",
           ticks(run.started), run.pipeline);
  };
  co_await write(std::move(change));
}

task<void> SqliteStateStore::run_ended(const RunRecord& run) {
  std::function<void(Database&)> change = [run](Database& db) {
    // Told twice, it counts once.
    const auto settled = db.number("SELECT 1 FROM runs WHERE id = ? AND ended IS NOT NULL", run.id);
    put_run(db, run);
    if (!settled) settle_pipeline(db, run);
  };
  co_await write(std::move(change));
}

task<std::vector<RunRecord>> SqliteStateStore::runs(const std::string& pipeline, std::size_t limit) {
  auto read = [this, pipeline, limit] {
    const auto* which = pipeline.empty() ? "" : "WHERE pipeline = ?1";
    auto rows = database().prepare(
        fmt::format("SELECT {} FROM runs {} ORDER BY started DESC, id DESC LIMIT {}", run_columns, which, limit));
    if (!pipeline.empty()) rows.bind(1, pipeline);
    return records_of(rows);
  };
  co_return co_await worker_.run(std::move(read));
}

task<std::optional<RunRecord>> SqliteStateStore::run(const std::string& id) {
  auto read = [this, id]() -> std::optional<RunRecord> {
    auto row = database().prepare(fmt::format("SELECT {} FROM runs WHERE id = ?", run_columns));
    if (!row.bind_all(id).step()) return {};
    return record_of(row);
  };
  co_return co_await worker_.run(std::move(read));
}

task<std::vector<RunRecord>> SqliteStateStore::runs_beginning(std::string id, std::size_t limit) {
  auto read = [this, id = std::move(id), limit] {
    auto rows = database().prepare(fmt::format(
        "SELECT {} FROM runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id DESC LIMIT {}", run_columns, limit));
    rows.bind(1, id);
    return records_of(rows);
  };
  co_return co_await worker_.run(std::move(read));
}

task<void> SqliteStateStore::write_log(std::string run, std::vector<RunLine> lines, std::int64_t first) {
  std::function<void(Database&)> change = [run = std::move(run), lines = std::move(lines), first](Database& db) {
    db.run("DELETE FROM run_logs WHERE run = ? AND number < ?", run, first);
    for (const auto& line : lines)
      db.run("INSERT OR REPLACE INTO run_logs(run, number, time, level, message) VALUES (?, ?, ?, ?, ?)", run,
             line.number, ticks(line.time), to_string(line.level), line.message);
  };
  co_await write(std::move(change));
}

task<std::vector<RunLine>> SqliteStateStore::log(std::string run) {
  auto read = [this, run = std::move(run)] {
    std::vector<RunLine> lines;
    auto rows = database().prepare("SELECT number, time, level, message FROM run_logs WHERE run = ? ORDER BY number");
    rows.bind(1, run);
    while (rows.step())
      lines.push_back({rows.integer(0), instant(rows.integer(1)), parse_level(rows.text(2)).value_or(Level::info),
                       std::string(rows.text(3))});
    return lines;
  };
  co_return co_await worker_.run(std::move(read));
}

task<std::vector<RunRecord>> SqliteStateStore::close_orphans(const std::string& pipeline) {
  auto closed = std::make_shared<std::vector<RunRecord>>();
  std::function<void(Database&)> change = [pipeline, closed, now = clock_.now(), path = path_](Database& db) {
    auto rows = db.prepare(
        fmt::format("SELECT {} FROM runs WHERE pipeline = ? AND ended IS NULL ORDER BY started", run_columns));
    rows.bind(1, pipeline);
    auto orphans = records_of(rows);
    // Backfills go on beside the pipeline's own runs, in this process or in others.
    if (any_backfill_is_held(lock_folder(path), pipeline))
      std::erase_if(orphans, [](const RunRecord& run) { return run.trigger == "backfill"; });
    for (auto& run : orphans) {
      run.ended = std::max(now, run.started);
      run.outcome = Outcome::failed;
      run.message = "interrupted: the process ended";
      put_run(db, run);
      settle_pipeline(db, run);
    }
    *closed = std::move(orphans);
  };
  co_await write(std::move(change));
  co_return std::move(*closed);
}

task<void> SqliteStateStore::probe() {
  auto look = [this] {
    auto& db = database();
    if (access_ == sqlite::Access::read_only)
      db.number("SELECT count(*) FROM pipelines");
    else
      probe_state(db);
  };
  co_await worker_.run(std::move(look));
}

task<std::int64_t> SqliteStateStore::prune(Instant before) {
  std::int64_t all = 0;
  for (auto some = pruned_at_once; some == pruned_at_once; all += some) {
    auto count = std::make_shared<std::int64_t>(0);
    std::function<void(Database&)> change = [before, count](Database& db) {
      const std::string old =
          "(SELECT id FROM runs WHERE ended IS NOT NULL AND started < ?1 AND ended < ?1 ORDER BY started LIMIT ?2)";
      db.run("DELETE FROM run_logs WHERE run IN " + old, ticks(before), pruned_at_once);
      *count = db.run("DELETE FROM runs WHERE id IN " + old, ticks(before), pruned_at_once);
    };
    co_await write(std::move(change));
    some = *count;
  }
  co_return all;
}

}  // namespace sluice
