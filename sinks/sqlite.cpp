#include "sinks/sqlite.hpp"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.hpp"
#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_books.hpp"
#include "sinks/sqlite_columns.hpp"
#include "sinks/sqlite_core.hpp"
#include "sinks/sqlite_schema.hpp"

namespace sluice {
namespace {

using sqlite::Access;
using sqlite::Database;
using sqlite::Session;

constexpr std::array<Option, 1> sqlite_options{{
    {.name = "url",
     .value = Value::text,
     .help = "The file: `sqlite:///absolute/path.db`, or `sqlite://./relative.db`.",
     .required = true},
}};

constexpr std::size_t pruned_at_once = 500;

// WAL needs memory that processes share, which no network gives: https://sqlite.org/wal.html
bool on_network(const std::string& folder) {
  struct statfs info {};
  if (statfs(folder.c_str(), &info) != 0) return false;
  const auto kind = static_cast<std::uint32_t>(info.f_type);
  constexpr std::array<std::uint32_t, 4> network{0x6969, 0xff534d42, 0xfe534d42, 0x65735546};  // NFS, CIFS, SMB 2, FUSE
  return std::find(network.begin(), network.end(), kind) != network.end();
}

std::vector<Finding> look_around(const std::string& path) {
  std::vector<Finding> findings;
  auto folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    const auto why = std::generic_category().message(errno);
    findings.emplace_back(
        Finding::Level::error,
        fmt::format("SQLite file {}: its folder cannot be written ({}); make it, and give it to sluice's user", path,
                    why));
    return findings;
  }
  if (std::filesystem::exists(path)) {
    Database database(path);
    const sqlite::Transaction writable(database);
    findings.emplace_back(Finding::Level::ok, fmt::format("SQLite file {} can be read and written", path));
  } else {
    findings.emplace_back(Finding::Level::ok, fmt::format("SQLite file {} will be made", path));
  }
  if (on_network(folder))
    findings.emplace_back(
        Finding::Level::warning,
        fmt::format(
            "SQLite file {}: its folder may lie on a network, where SQLite's locks do not hold; use a local disk",
            path));
  struct statvfs space {};
  constexpr std::uint64_t little = std::uint64_t{1} << 30;
  if (statvfs(folder.c_str(), &space) == 0 && space.f_bavail * space.f_frsize < little)
    findings.emplace_back(Finding::Level::warning,
                          fmt::format("SQLite file {}: less than 1GiB is free on its disk", path));
  return findings;
}

class SqliteSink final : public Sink {
 public:
  SqliteSink(std::string path, const SinkContext& context)
      : core_(std::make_shared<sqlite::Core>(std::move(path), context)) {}

  task<std::vector<std::string>> plan(const Table& table) override {
    const auto session = std::make_shared<Session>();
    auto work = [path = core_->path(), table] {
      // Looking must not make the file.
      const bool there = std::filesystem::exists(path);
      Database database(there ? path : ":memory:", there ? Access::read_only : Access::read_write);
      auto statements = sqlite::plan_bookkeeping(database);
      for (const auto& step : sqlite::plan_schema(database, table))
        statements.insert(statements.end(), step.statements.begin(), step.statements.end());
      return statements;
    };
    co_return co_await session->worker.run(std::move(work));
  }

  task<std::map<std::string, std::string>> prepare(const Table& table) override {
    const auto turn = co_await core_->write_turn().acquire();
    if (!main_) main_ = std::make_shared<Session>();
    auto apply = [table](Database& database) { return sqlite::apply_schema(database, table); };
    auto changes = co_await core_->on(main_, std::move(apply));
    for (const auto& message : changes.messages) {
      Notice notice;
      notice.level = Level::warning;
      notice.message = message;
      notice.sink = core_->context().name;
      core_->context().events.emit(notice);
    }
    co_return std::move(changes.columns);
  }

  task<Progress> progress(const LaneId& lane, const std::string& table, const std::string& days) override {
    auto read = [lane, table, days](Database& database) {
      Progress progress;
      auto row = database.prepare(
          R"(SELECT "version", "updated_at", "done_to",
               "table_name" = ?5 AND "days" = ?6 AND EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?5)
             FROM _sluice_progress WHERE "pipeline" = ?1 AND "stream" = ?2 AND "partition" = ?3 AND "lane" = ?4)");
      if (!row.bind_all(lane.pipeline, lane.stream, lane.partition, lane.lane, table, days).step()) return progress;
      progress.version = row.integer(0);
      progress.updated_at = parse_instant(row.text(1));
      if (row.integer(3) != 0) progress.done_to = row.maybe_text(2);
      return progress;
    };
    co_return co_await look("_sluice_progress", std::move(read));
  }

  task<std::vector<std::pair<LaneId, Progress>>> lanes(const std::string& pipeline) override {
    auto read = [pipeline](Database& database) {
      std::vector<std::pair<LaneId, Progress>> lanes;
      auto rows = database.prepare(
          R"(SELECT "stream", "partition", "lane", "done_to", "version" FROM _sluice_progress WHERE "pipeline" = ? ORDER BY 1, 2, 3)");
      rows.bind_all(pipeline);
      while (rows.step()) {
        LaneId lane(pipeline, std::string(rows.text(0)), std::string(rows.text(1)), std::string(rows.text(2)));
        Progress progress;
        progress.done_to = rows.maybe_text(3);
        progress.version = rows.integer(4);
        lanes.emplace_back(std::move(lane), std::move(progress));
      }
      return lanes;
    };
    co_return co_await look("_sluice_progress", std::move(read));
  }

  task<std::vector<std::string>> loaders(const std::string& table) override {
    auto read = [table](Database& database) {
      std::vector<std::string> pipelines;
      auto rows = database.prepare(
          R"(SELECT DISTINCT "pipeline" FROM _sluice_loads WHERE "table_name" = ? AND NOT "superseded" ORDER BY 1)");
      rows.bind_all(table);
      while (rows.step()) pipelines.emplace_back(rows.text(0));
      return pipelines;
    };
    co_return co_await look("_sluice_loads", std::move(read));
  }

  task<std::vector<DayWindow>> loaded_days(const std::string& table, const std::string& partition) override {
    auto read = [table, partition](Database& database) {
      std::vector<DayWindow> windows;
      auto rows = database.prepare(
          R"(SELECT DISTINCT "window" FROM _sluice_loads
             WHERE "table_name" = ? AND "partition" = ? AND NOT "superseded")");
      rows.bind_all(table, partition);
      while (rows.step())
        if (const auto window = parse_day_window(rows.text(0))) windows.push_back(*window);
      return windows;
    };
    co_return co_await look("_sluice_loads", std::move(read));
  }

  task<std::vector<std::string>> columns_of(const std::string& table) override {
    auto read = [table](Database& database) {
      std::vector<std::string> columns;
      const auto found = sqlite::read_table(database, table);
      for (const auto& column : found.value().columns) columns.push_back(column.name);
      return columns;
    };
    co_return co_await look(table, std::move(read));
  }

  task<std::unique_ptr<Load>> open(const Table& table, const LaneId& lane, const Slice& slice, const std::string& run,
                                   Instant read_started) override {
    check_scope(table, slice);
    co_return sqlite::make_load(core_, sqlite::Target(table, lane, slice, run, read_started));
  }

  task<std::int64_t> count_quarantined(const std::string& pipeline, const std::string& stream) override {
    auto count = [pipeline, stream](Database& database) {
      return database
          .number(R"(SELECT count(*) FROM _sluice_quarantine WHERE "pipeline" = ? AND "stream" = ?)", pipeline, stream)
          .value_or(0);
    };
    co_return co_await look("_sluice_quarantine", std::move(count));
  }

  task<std::vector<QuarantinedRow>> quarantined(const std::string& pipeline, const std::string& stream,
                                                const QuarantineFilter& filter, std::size_t limit) override {
    auto read = [pipeline, stream, filter, limit](Database& database) {
      std::vector<QuarantinedRow> found;
      auto rows = of_quarantine(
          database, R"(SELECT "id", "slice", "key", "reason", "rule", "raw", "run", "first_seen", "last_seen")",
          fmt::format(R"(ORDER BY "last_seen" DESC, "slice", "id" LIMIT {})", limit), pipeline, stream, filter);
      while (rows.step()) {
        auto& row = found.emplace_back();
        int at = 0;
        for (auto* text : {&row.id, &row.slice, &row.key, &row.reason, &row.rule, &row.raw, &row.run, &row.first_seen,
                           &row.last_seen})
          *text = rows.text(at++);
      }
      return found;
    };
    co_return co_await look("_sluice_quarantine", std::move(read));
  }

  task<std::vector<QuarantinedRead>> quarantined_reads(const std::string& pipeline, const std::string& stream,
                                                       const QuarantineFilter& filter) override {
    auto read = [pipeline, stream, filter](Database& database) {
      std::vector<QuarantinedRead> reads;
      auto rows =
          of_quarantine(database, R"(SELECT g."slice", g."run", coalesce(l.started, g.seen), coalesce(l.complete, 1)
            FROM (SELECT "slice", "run", max("last_seen") AS seen)",
                        R"(GROUP BY 1, 2) AS g
            LEFT JOIN (SELECT "slice", "run", max("started_at") AS started, min("complete") AS complete
                       FROM _sluice_loads
                       WHERE "pipeline" = ?1 AND "stream" = ?2 GROUP BY 1, 2) AS l
            ON l."slice" = g."slice" AND l."run" = g."run" ORDER BY 3 DESC, 1)",
                        pipeline, stream, filter);
      while (rows.step())
        reads.push_back({std::string(rows.text(0)), std::string(rows.text(1)), parse_instant(rows.text(2)).value(),
                         rows.text(3) == "1"});
      return reads;
    };
    co_return co_await look("_sluice_quarantine", std::move(read));
  }

  task<std::int64_t> drop_quarantined(const std::string& pipeline, const std::string& stream,
                                      const QuarantineFilter& filter) override {
    const auto turn = co_await core_->write_turn().acquire();
    auto drop = [pipeline, stream, filter](Database& database) {
      of_quarantine(database, "DELETE", "", pipeline, stream, filter).run();
      return database.changes();
    };
    co_return co_await look("_sluice_quarantine", std::move(drop));
  }

  task<std::int64_t> prune(Instant before) override {
    if (!std::filesystem::exists(core_->path())) co_return 0;
    const auto session = std::make_shared<Session>();
    auto find = [before](Database& database) { return sqlite::books_before(database, before); };
    const auto old = co_await core_->on(session, std::move(find));
    for (std::size_t at = 0; at < old.size(); at += pruned_at_once) {
      const auto turn = co_await core_->write_turn().acquire();
      std::vector<sqlite::BookEntry> some(
          old.begin() + static_cast<std::ptrdiff_t>(at),
          old.begin() + static_cast<std::ptrdiff_t>(std::min(at + pruned_at_once, old.size())));
      auto forget = [some = std::move(some), before](Database& database) { sqlite::forget(database, some, before); };
      co_await core_->on(session, std::move(forget));
    }
    co_return static_cast<std::int64_t>(old.size());
  }

  task<std::vector<Finding>> check(std::vector<std::string>) override {
    const auto session = std::make_shared<Session>();
    auto work = [path = core_->path()] {
      try {
        return look_around(path);
      } catch (const Error& e) {
        return std::vector<Finding>{Finding(Finding::Level::error, e.what())};
      }
    };
    co_return co_await session->worker.run(std::move(work));
  }

  task<void> close() override {
    core_->close();
    main_.reset();
    co_return;
  }

 private:
  // Reads what a table of the bookkeeping says; nothing where the file or the table does not exist yet.
  template <typename F>
  task<std::invoke_result_t<F, Database&>> look(std::string table, F call) {
    using Result = std::invoke_result_t<F, Database&>;
    if (!std::filesystem::exists(core_->path())) co_return Result{};
    if (!main_) main_ = std::make_shared<Session>();
    auto found = [table = std::move(table), call = std::move(call)](Database& database) mutable {
      if (!database.number("SELECT 1 FROM sqlite_schema WHERE name = ?", table)) return Result{};
      return call(database);
    };
    co_return co_await core_->on(main_, std::move(found));
  }

  // `what` FROM the quarantine, its rows that the filter lets through; `then`: what follows the condition.
  static sqlite::Statement of_quarantine(Database& database, const std::string& what, const std::string& then,
                                         const std::string& pipeline, const std::string& stream,
                                         const QuarantineFilter& filter) {
    const std::string since = filter.since ? sqlite::stored_instant(*filter.since) : "";
    auto statement = database.prepare(what + R"( FROM _sluice_quarantine AS q
        WHERE "pipeline" = ?1 AND "stream" = ?2 AND (?3 = '' OR "id" = ?3) AND (?4 = '' OR "slice" = ?4)
        AND (?5 = '' OR "rule" = ?5) AND (?6 = '' OR "run" = ?6) AND "last_seen" >= ?7 )" +
                                      then);
    statement.bind_all(pipeline, stream, filter.id, filter.slice, filter.rule, filter.run, since);
    return statement;
  }

  const std::shared_ptr<sqlite::Core> core_;
  std::shared_ptr<Session> main_;
};

std::optional<std::string> sqlite_url_fault(const std::string& url) {
  try {
    sqlite::path_of_url(url);
  } catch (const Error&) {
    return "expected sqlite:///absolute/path.db or sqlite://./relative.db";
  }
  return {};
}

std::unique_ptr<Sink> make_sqlite(const Settings& settings, const SinkContext& context) {
  return std::make_unique<SqliteSink>(sqlite::path_of_url(settings.text("url")), context);
}

}  // namespace

SinkKind sqlite_sink() {
  return SinkKind{.type = "sqlite",
                  .options = sqlite_options,
                  .partitions = false,
                  .url_fault = sqlite_url_fault,
                  .make = make_sqlite};
}

}  // namespace sluice
