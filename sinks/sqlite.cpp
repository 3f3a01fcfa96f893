#include "sinks/sqlite.hpp"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.hpp"
#include "core/worker.hpp"
#include "db/sqlite.hpp"
#include "sinks/publish_rules.hpp"
#include "sinks/sqlite_publish.hpp"
#include "sinks/sqlite_schema.hpp"

namespace sluice {
namespace {

using sqlite::Access;
using sqlite::Database;

constexpr std::array<Option, 1> options{{
    {.name = "url",
     .value = Value::text,
     .help = "The file: `sqlite:///absolute/path.db`, or `sqlite://./relative.db`.",
     .required = true},
}};

// A connection and the thread that it lives on. The members that calls on the thread use come before the thread: it is
// joined first.
struct Session {
  std::unique_ptr<Database> database;
  std::unique_ptr<sqlite::Target> target;
  std::unique_ptr<sqlite::Stage> stage;
  Worker worker;
};

class SqliteSink final : public Sink {
 public:
  SqliteSink(std::string path, const SinkContext& context)
      : path_(std::move(path)), context_(context), publish_turn_(context.executor, 1) {}

  task<std::vector<std::string>> plan(const Table& table) override;
  task<std::map<std::string, std::string>> prepare(const Table& table) override;
  task<Progress> progress(const LaneId& lane) override;
  task<std::vector<std::pair<LaneId, Progress>>> lanes(const std::string& pipeline) override;
  task<std::unique_ptr<Load>> open(const Table& table, const LaneId& lane, const Slice& slice, const std::string& run,
                                   Instant read_started) override;
  task<std::int64_t> count_quarantined(const std::string& pipeline, const std::string& stream) override;
  task<std::vector<QuarantinedRow>> quarantined(const std::string& pipeline, const std::string& stream,
                                                std::size_t limit) override;
  task<std::vector<Finding>> check() override;
  task<void> close() override;

  // For loads. A session that is not given back is closed, and with it goes all that it staged.
  std::shared_ptr<Session> take_session();
  void give_back(std::shared_ptr<Session> session) { idle_.push_back(std::move(session)); }
  task<Published> publish(std::shared_ptr<Session> session, Publication publication, std::vector<std::string> without);
  // Runs `call` with the session's database on the session's thread.
  template <typename F>
  task<std::invoke_result_t<F, Database&>> on(std::shared_ptr<Session> session, F call);

 private:
  // Reads what a table of the bookkeeping says; nothing where the file or the table does not exist yet.
  template <typename F>
  task<std::invoke_result_t<F, Database&>> look(std::string table, F call);
  void note(const Error* failure);
  static std::unique_ptr<Database> open_database(const std::string& path);

  const std::string path_;
  const SinkContext context_;
  std::optional<bool> up_;
  Semaphore publish_turn_;  // SQLite has one writer: waiting here keeps others from polling for its lock
  std::shared_ptr<Session> main_;
  std::vector<std::shared_ptr<Session>> idle_;
};

class SqliteLoad final : public Load {
 public:
  SqliteLoad(SqliteSink& sink, sqlite::Target target) : sink_(sink), target_(std::move(target)) {}

  task<void> stage(Batch& batch) override {
    take_session();
    auto add = [session = session_.get(), &batch](Database&) { session->stage->add(batch); };
    co_await start();
    co_await sink_.on(session_, std::move(add));
  }

  void without_columns(const std::vector<std::string>& names) override {
    without_.insert(without_.end(), names.begin(), names.end());
  }

  task<Published> publish(const Publication& publication) override {
    take_session();
    co_await start();
    auto result = co_await sink_.publish(session_, publication, without_);
    if (result.outcome == Published::Outcome::confirm_empty) co_return result;
    published_ = true;
    sink_.give_back(std::move(session_));
    co_return result;
  }

 private:
  void take_session() {
    if (published_) throw std::logic_error("a load is published once");
    if (!session_) session_ = sink_.take_session();
  }
  task<void> start();

  SqliteSink& sink_;
  const sqlite::Target target_;
  std::vector<std::string> without_;
  std::shared_ptr<Session> session_;
  bool published_ = false;
};

task<void> SqliteLoad::start() {
  if (session_->stage) co_return;
  auto begin = [session = session_.get(), target = target_](Database& database) {
    session->target = std::make_unique<sqlite::Target>(target);
    session->stage = std::make_unique<sqlite::Stage>(database, *session->target);
  };
  co_await sink_.on(session_, std::move(begin));
}

std::unique_ptr<Database> SqliteSink::open_database(const std::string& path) {
  auto database = std::make_unique<Database>(path);
  // Stages may be larger than memory should be. Checkpoints every 16 MiB keep large loads from copying page by page.
  database->exec(
      "PRAGMA temp_store = FILE; PRAGMA temp.cache_size = -8192; PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint "
      "= 4000");
  return database;
}

template <typename F>
task<std::invoke_result_t<F, Database&>> SqliteSink::on(std::shared_ptr<Session> session, F call) {
  auto work = [session = session.get(), path = path_, call = std::move(call)]() mutable {
    if (!session->database) session->database = open_database(path);
    return call(*session->database);
  };
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<F, Database&>>) {
      co_await session->worker.run(std::move(work));
      note(nullptr);
    } else {
      auto result = co_await session->worker.run(std::move(work));
      note(nullptr);
      co_return result;
    }
  } catch (const sqlite::Failure& e) {
    note(&e);
    throw;
  }
}

template <typename F>
task<std::invoke_result_t<F, Database&>> SqliteSink::look(std::string table, F call) {
  using Result = std::invoke_result_t<F, Database&>;
  if (!std::filesystem::exists(path_)) co_return Result{};
  if (!main_) main_ = std::make_shared<Session>();
  auto found = [table = std::move(table), call = std::move(call)](Database& database) mutable {
    if (!database.number("SELECT 1 FROM sqlite_schema WHERE name = ?", table)) return Result{};
    return call(database);
  };
  co_return co_await on(main_, std::move(found));
}

void SqliteSink::note(const Error* failure) {
  const bool up = failure == nullptr;
  if (up_ == up) return;
  up_ = up;
  SinkState state;
  state.sink = context_.name;
  state.up = up;
  if (failure) state.message = failure->what();
  context_.events.emit(state);
}

std::shared_ptr<Session> SqliteSink::take_session() {
  if (idle_.empty()) return std::make_shared<Session>();
  auto session = std::move(idle_.back());
  idle_.pop_back();
  return session;
}

task<std::vector<std::string>> SqliteSink::plan(const Table& table) {
  const auto session = std::make_shared<Session>();
  auto work = [path = path_, table] {
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

task<std::map<std::string, std::string>> SqliteSink::prepare(const Table& table) {
  if (!main_) main_ = std::make_shared<Session>();
  auto apply = [table](Database& database) { return sqlite::apply_schema(database, table); };
  auto changes = co_await on(main_, std::move(apply));
  for (const auto& message : changes.messages) {
    Notice notice;
    notice.level = Level::warning;
    notice.message = message;
    context_.events.emit(notice);
  }
  co_return std::move(changes.columns);
}

task<Progress> SqliteSink::progress(const LaneId& lane) {
  auto read = [lane](Database& database) {
    Progress progress;
    auto row = database.prepare(
        R"(SELECT "done_to", "version" FROM _sluice_progress
           WHERE "pipeline" = ? AND "stream" = ? AND "partition" = ? AND "lane" = ?)");
    if (!row.bind_all(lane.pipeline, lane.stream, lane.partition, lane.lane).step()) return progress;
    progress.done_to = row.maybe_text(0);
    progress.version = row.integer(1);
    return progress;
  };
  co_return co_await look("_sluice_progress", std::move(read));
}

task<std::vector<std::pair<LaneId, Progress>>> SqliteSink::lanes(const std::string& pipeline) {
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

task<std::unique_ptr<Load>> SqliteSink::open(const Table& table, const LaneId& lane, const Slice& slice,
                                             const std::string& run, Instant read_started) {
  check_scope(table, slice);
  sqlite::Target target(table, lane, slice, run, read_started);
  std::unique_ptr<Load> load = std::make_unique<SqliteLoad>(*this, std::move(target));
  co_return load;
}

task<Published> SqliteSink::publish(std::shared_ptr<Session> session, Publication publication,
                                    std::vector<std::string> without) {
  const auto turn = co_await publish_turn_.acquire();
  const auto begun = context_.clock.uptime();
  TransactionDone done;
  done.sink = context_.name;
  done.outcome = "rolled_back";
  auto work = [session = session.get(), publication, without, now = context_.clock.now()](Database& database) {
    auto result = sqlite::publish(database, *session->target, *session->stage, publication, without, now);
    if (result.published.outcome == Published::Outcome::confirm_empty) return result;
    session->stage->drop();
    session->stage.reset();
    return result;
  };
  std::optional<sqlite::PublishResult> result;
  std::exception_ptr failure;
  try {
    result = co_await on(session, std::move(work));
    if (result->published.outcome != Published::Outcome::confirm_empty) done.outcome = "committed";
  } catch (...) {
    failure = std::current_exception();
  }
  done.took = context_.clock.uptime() - begun;
  context_.events.emit(done);
  if (failure) std::rethrow_exception(failure);
  const auto& target = *session->target;
  if (result->deletion_suspended)
    context_.events.emit(
        Notice{Level::warning, target.lane.pipeline, target.lane.stream, deletion_suspended(target.slice)});
  co_return result->published;
}

task<std::int64_t> SqliteSink::count_quarantined(const std::string& pipeline, const std::string& stream) {
  auto count = [pipeline, stream](Database& database) {
    return database
        .number(R"(SELECT count(*) FROM _sluice_quarantine WHERE "pipeline" = ? AND "stream" = ?)", pipeline, stream)
        .value_or(0);
  };
  co_return co_await look("_sluice_quarantine", std::move(count));
}

task<std::vector<QuarantinedRow>> SqliteSink::quarantined(const std::string& pipeline, const std::string& stream,
                                                          std::size_t limit) {
  auto read = [pipeline, stream, limit](Database& database) {
    std::vector<QuarantinedRow> found;
    auto rows = database.prepare(
        R"(SELECT "id", "slice", "key", "reason", "rule", "raw", "run", "first_seen", "last_seen" FROM _sluice_quarantine
           WHERE "pipeline" = ? AND "stream" = ? ORDER BY "last_seen" DESC, "slice", "id" LIMIT ?)");
    rows.bind_all(pipeline, stream, static_cast<std::int64_t>(limit));
    while (rows.step()) {
      auto& row = found.emplace_back();
      int at = 0;
      for (auto* text :
           {&row.id, &row.slice, &row.key, &row.reason, &row.rule, &row.raw, &row.run, &row.first_seen, &row.last_seen})
        *text = rows.text(at++);
    }
    return found;
  };
  co_return co_await look("_sluice_quarantine", std::move(read));
}

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

task<std::vector<Finding>> SqliteSink::check() {
  const auto session = std::make_shared<Session>();
  auto work = [path = path_] {
    try {
      return look_around(path);
    } catch (const Error& e) {
      return std::vector<Finding>{Finding(Finding::Level::error, e.what())};
    }
  };
  co_return co_await session->worker.run(std::move(work));
}

task<void> SqliteSink::close() {
  idle_.clear();
  main_.reset();
  co_return;
}

std::unique_ptr<Sink> make_sqlite(const Settings& settings, const SinkContext& context) {
  return std::make_unique<SqliteSink>(sqlite::path_of_url(settings.text("url")), context);
}

}  // namespace

SinkKind sqlite_sink() {
  return SinkKind{.type = "sqlite", .options = options, .make = make_sqlite};
}

}  // namespace sluice
