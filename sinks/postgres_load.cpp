#include "sinks/postgres_load.hpp"

#include <fmt/format.h>

#include "sinks/postgres_partitions.hpp"
#include "sinks/postgres_stage.hpp"

namespace sluice {
namespace {

constexpr Duration settle_within = std::chrono::minutes(2);  // an unknown COMMIT
constexpr std::int64_t worth_analyzing = 50'000;             // rows; ANALYZE takes some 25 ms

class PostgresLoad final : public Load {
 public:
  PostgresLoad(std::shared_ptr<PostgresCore> core, const PostgresTable& target, const Table& table, const LaneId& lane,
               const Slice& slice, std::string run, Instant read_started)
      : core_(std::move(core)),
        table_(table),
        lane_(lane),
        slice_(slice),
        run_(std::move(run)),
        columns_(copy_columns(table_, target)),
        sql_(core_->options.schema, table_, columns_, lane_, slice_, run_, read_started),
        partitions_(*core_, table_, target, lane_),
        stage_(*core_, table_, slice_, columns_, sql_) {
    check_scope(table_, slice_);
  }

  ~PostgresLoad() override {
    // Ends the session: its stage may be large.
    if (lease_ && stage_.kept()) lease_->close();
  }

  void add(Batch batch) override {
    reject_strays(table_, slice_, batch);
    for (std::size_t i = 0; i < batch.rows(); ++i) partitions_.note(batch.row(i));
    stage_.add(batch);
  }
  bool full() const override { return stage_.full(); }
  task<void> make_room() override {
    auto& session = *co_await connection();
    co_await stage_.send_ahead(session);
  }

  void without_columns(const std::vector<std::string>& names) override {
    without_.insert(without_.end(), names.begin(), names.end());
  }

  task<Published> publish(const Publication& publication) override {
    check_reject_share(table_, slice_, publication.read, stage_.rejects());
    auto transaction = transact(publication);
    co_await to_its_end(std::move(transaction));
    co_return result_;
  }

  task<void> set_aside() override {
    auto& session = *co_await connection();
    auto statements = sql_.set_aside(stage_.rejects());
    statements.insert(statements.begin(), pg::Statement("BEGIN"));
    statements.emplace_back("COMMIT");
    co_await session.exec_all(std::move(statements));
  }

  task<Replayed> replay(const std::vector<QuarantinedRow>& rows) override {
    Replayed done;
    auto transaction = load_again(rows, done);
    co_await to_its_end(std::move(transaction));
    co_return done;
  }

 private:
  void said(const char* outcome, Duration took) { core_->events.emit(TransactionDone{core_->name, outcome, took}); }

  // Finds out what became of it where the reply to its COMMIT is lost.
  task<void> to_its_end(task<void> transaction) {
    const auto began = core_->clock.uptime();
    std::exception_ptr failure;
    bool lost = false;
    try {
      co_await std::move(transaction);
    } catch (const pg::PgError& error) {
      failure = std::current_exception();
      lost = committing_ && error.connection_lost();
    } catch (const Error&) {
      failure = std::current_exception();
    }
    const auto took = core_->clock.uptime() - began;
    std::optional<bool> committed = !failure && result_.outcome != Published::Outcome::confirm_empty;
    if (lost) {
      said("unknown", took);
      committed = co_await went_through();
      if (!committed) failure = unsettled();
      if (committed == true) failure = nullptr;
    }
    if (committed) said(*committed ? "committed" : "rolled_back", took);
    // Whatever is still open on the session is rolled back with it.
    if (failure && lease_) lease_->close();
    if (failure) std::rethrow_exception(failure);
  }

  task<pg::Connection*> connection() {
    if (!lease_) lease_ = co_await core_->pool.acquire();
    lease_->set_context(fmt::format("table {}, slice {}", table_.name, slice_.id()));
    co_return &*lease_;
  }

  task<void> transact(const Publication& publication) {
    auto& session = *co_await connection();
    co_await partitions_.make(session);
    const auto now = core_->clock.now();
    sql_.set_loaded_at(now);
    result_ = Published();
    result_.version = publication.expected_version + 1;
    result_.repaired = stage_.repaired();
    std::vector<pg::Statement> statements;
    const auto add = [&](pg::Statement statement) {
      statements.push_back(std::move(statement));
      return statements.size() - 1;
    };
    add(pg::Statement("BEGIN"));
    // The planner expects one row of a new day and would walk the stage once for each row of the window. Objects are
    // another matter: few of a large table change at a time.
    if (scope_of(table_) != Scope::none) add(pg::Statement("SET LOCAL enable_nestloop = off"));
    add(sql_.lock());
    const auto fence = add(sql_.fence(publication));
    const auto later_reads = add(sql_.later_reads());
    const auto count_scope = add(sql_.count_scope());
    const auto opened = co_await session.exec_all(std::move(statements));
    if (opened[fence].affected() != 1) throw_fenced(lane_, publication.expected_version);
    std::vector<std::string> later;
    for (int i = 0; i < opened[later_reads].rows(); ++i) later.push_back(opened[later_reads].text(i, 0));
    const auto overtaken_by = overtaken(slice_, later);
    if (overtaken_by == Overtaken::partly) throw_overtaken(table_, slice_);
    if (overtaken_by == Overtaken::wholly) {
      result_.outcome = Published::Outcome::superseded;
      co_await commit(session, publication);
      co_return;
    }
    const auto before = opened[count_scope].integer(0, 0);
    if (publication.read == 0 && before > 0 && scope_of(table_) != Scope::none && !publication.believe_empty) {
      co_await session.exec("ROLLBACK");
      result_ = Published();
      result_.outcome = Published::Outcome::confirm_empty;
      result_.version = publication.expected_version;
      co_return;
    }
    auto& counts = result_.counts;
    counts.read = publication.read;
    counts.filtered = publication.filtered;
    counts.quarantined = static_cast<std::int64_t>(stage_.rejects().size());
    const bool same = co_await unchanged_since(session, publication, before);
    if (!same) co_await write(session, before, now);
    counts.duplicate = stage_.duplicates();
    counts.unchanged = stage_.taken() - stage_.duplicates() - counts.inserted - counts.updated;
    check_balance(table_, slice_, counts);
    co_await commit(session, publication);
  }

  // The window's last published read had the same rows, nobody has published a part of it since, and its rows were
  // compared with the table within a day: what others did to the rows by hand is mended by then.
  task<bool> unchanged_since(pg::Connection& session, const Publication& publication, std::int64_t before) {
    digest_.reset();
    compared_at_.reset();
    if (!stage_.rejects().empty() || !without_.empty()) co_return false;
    digest_ = stage_.digest();
    if (scope_of(table_) == Scope::none || publication.compare_all || before == 0 ||
        before != stage_.taken() - stage_.duplicates())
      co_return false;
    const auto found = co_await session.exec(sql_.last_publishes());
    if (found.rows() == 0 || found.maybe(0, 1) != digest_ || found.is_null(0, 2)) co_return false;
    std::vector<std::string> others;
    for (int i = 1; i < found.rows(); ++i)
      if (found.text(i, 0) != slice_.window()) others.push_back(found.text(i, 0));
    if (overtaken(slice_, others) != Overtaken::no) co_return false;
    compared_at_ = found.text(0, 2);
    co_return true;
  }

  task<void> write(pg::Connection& session, std::int64_t before, Instant now) {
    auto& counts = result_.counts;
    const bool keyless = table_.key.empty();
    if (keyless && before > 0 && scope_of(table_) != Scope::none) {
      const auto removed = co_await session.exec(sql_.delete_scope());
      counts.deleted = removed.affected();
    }
    const bool nothing_there = keyless || before == 0;
    if (nothing_there && stage_.held_and_distinct()) {
      counts.inserted = co_await stage_.copy_into_table(session, own_fields(now));
      co_return;
    }
    co_await stage_.gather(session);
    if (nothing_there)
      co_await insert_all(session);
    else
      co_await merge(session, before);
  }

  // Rows of one key are rare: the table's primary key finds them, and they are only looked for when it has.
  task<void> insert_all(pg::Connection& session) {
    constexpr std::string_view unique_violation = "23505";
    const auto insertion = sql_.insert_all(stage_.kept());
    bool twins = false;
    try {
      std::vector<pg::Statement> first{"SAVEPOINT before_rows", insertion};
      co_await session.exec_all(std::move(first));
    } catch (const pg::PgError& error) {
      twins = error.sqlstate() == unique_violation;
      if (!twins) throw;
    }
    if (twins) {
      co_await session.exec("ROLLBACK TO SAVEPOINT before_rows");
      co_await stage_.merge_twins(session);
      co_await session.exec(insertion);
    }
    result_.counts.inserted = stage_.gathered();
  }

  std::string own_fields(Instant now) const {
    ByteBuffer fields;
    put_bytes(fields, run_);
    put_bytes(fields, slice_.id());
    put_instant(fields, now);
    return std::string(fields.view());
  }

  task<void> merge(pg::Connection& session, std::int64_t before) {
    auto& counts = result_.counts;
    co_await stage_.merge_twins(session);
    if (stage_.gathered() >= worth_analyzing) co_await session.exec("ANALYZE " + sql_.stage(stage_.kept()));
    std::vector<pg::Statement> statements;
    statements.push_back(sql_.update(stage_.kept(), without_));
    statements.push_back(sql_.insert_new(stage_.kept()));
    const auto done = co_await session.exec_all(std::move(statements));
    counts.updated = done[0].affected();
    counts.inserted = done[1].affected();
    const auto scope = scope_of(table_);
    if (scope == Scope::none || before + counts.inserted == stage_.gathered()) co_return;
    std::vector<std::vector<std::string>> spared;
    for (const auto& reject : stage_.rejects()) {
      spared.push_back(comparable_key(reject));
      if (spared.back().empty()) {
        core_->events.emit(Notice{Level::warning, lane_.pipeline, lane_.stream, deletion_suspended(slice_)});
        co_return;
      }
    }
    const auto removed = co_await session.exec(sql_.delete_missing(stage_.kept(), spared));
    counts.deleted = removed.affected();
  }

  std::vector<std::string> comparable_key(const Reject& reject) const {
    auto key = readable_key(reject, table_);
    for (std::size_t i = 0; i < key.size(); ++i)
      if (!PostgresStatements::comparable_as_text(columns_[i].oid)) return {};
    return key;
  }

  task<void> commit(pg::Connection& session, const Publication& publication) {
    const bool superseded = result_.outcome == Published::Outcome::superseded;
    std::vector<pg::Statement> statements;
    if (!superseded) statements = sql_.quarantine(stage_.rejects());
    PostgresStatements::LedgerEntry entry;
    entry.counts = result_.counts;
    entry.complete = publication.complete && without_.empty();
    entry.superseded = superseded;
    entry.version = result_.version;
    entry.digest = digest_;
    entry.compared_at = compared_at_;
    statements.push_back(sql_.ledger(entry));
    proof_ = sql_.committed(result_.version);
    co_await send_commit(session, std::move(statements));
  }

  // With `proof_` in place, which a later session asks for one row.
  task<void> send_commit(pg::Connection& session, std::vector<pg::Statement> statements) {
    statements.emplace_back("COMMIT");
    committing_ = true;
    const auto results = co_await session.exec_all(std::move(statements));
    // libpq reports success also when the server answers COMMIT with ROLLBACK.
    if (results.back().tag() != "COMMIT")
      throw Error(Remedy::retry, fmt::format("table {}, slice {}: the server rolled the transaction back ({})",
                                             table_.name, slice_.id(), results.back().tag()));
    committing_ = false;
    stage_.committed(session);
  }

  task<void> load_again(const std::vector<QuarantinedRow>& rows, Replayed& done) {
    auto& session = *co_await connection();
    co_await partitions_.make(session);
    sql_.set_loaded_at(core_->clock.now());
    std::vector<std::string> ids;
    for (const auto& row : rows) ids.push_back(row.id);
    std::vector<pg::Statement> statements;
    statements.emplace_back("BEGIN");
    statements.push_back(sql_.lock());
    statements.push_back(sql_.hold_quarantined(ids));
    statements.push_back(sql_.later_reads());
    const auto opened = co_await session.exec_all(std::move(statements));
    if (opened[2].rows() != static_cast<int>(rows.size())) throw_not_quarantined(table_, slice_);
    std::vector<std::string> later;
    for (int i = 0; i < opened[3].rows(); ++i) later.push_back(opened[3].text(i, 0));
    const auto overtaken_by = overtaken(slice_, later);
    auto tried = tried_again(rows, stage_.rejects());
    std::vector<DayWindow> too_late;
    if (overtaken_by == Overtaken::partly) too_late = later_days(later);
    std::int64_t inserted = 0;
    if (overtaken_by == Overtaken::wholly)
      tried = TriedAgain{std::move(ids), {}};
    else if (!tried.fit.empty())
      inserted = co_await write_again(session, too_late, done);
    done.refused = static_cast<std::int64_t>(tried.refused.size());
    done.skipped = static_cast<std::int64_t>(tried.fit.size()) - done.loaded;
    co_await commit_again(session, tried, done, inserted);
  }

  // Gives how many of the loaded rows are new.
  task<std::int64_t> write_again(pg::Connection& session, const std::vector<DayWindow>& too_late, Replayed& done) {
    co_await stage_.gather(session);
    co_await stage_.merge_twins(session);
    if (!too_late.empty()) co_await session.exec(sql_.drop_days(stage_.kept(), too_late));
    std::vector<pg::Statement> statements;
    if (table_.key.empty()) {
      statements.push_back(sql_.insert_all(stage_.kept()));
    } else {
      statements.push_back(sql_.insert_new(stage_.kept()));
      statements.push_back(sql_.update_older(stage_.kept()));
    }
    const auto results = co_await session.exec_all(std::move(statements));
    for (const auto& result : results) done.loaded += result.affected();
    co_return results.front().affected();
  }

  task<void> commit_again(pg::Connection& session, const TriedAgain& tried, const Replayed& done,
                          std::int64_t inserted) {
    std::vector<pg::Statement> statements;
    statements.push_back(sql_.remove_quarantined(tried.fit));
    statements.push_back(sql_.refuse_again(tried.refused));
    PostgresStatements::LedgerEntry entry;
    entry.counts = counts_of(done, inserted);
    entry.superseded = true;  // it is no read of the window
    if (!tried.fit.empty()) statements.push_back(sql_.ledger(entry));
    proof_ = sql_.none_quarantined(tried.fit);
    co_await send_commit(session, std::move(statements));
  }

  // The reply to COMMIT did not come. What was written in the same transaction is there, or it is not.
  task<std::optional<bool>> went_through() {
    const auto until = core_->clock.uptime() + settle_within;
    for (Duration pause = std::chrono::milliseconds(200);;
         pause = std::min<Duration>(pause * 2, std::chrono::seconds(10))) {
      lease_.release();
      bool passing = true;
      try {
        const bool there = co_await in_ledger();
        co_return there;
      } catch (const Error& error) {
        passing = error.passing();
      }
      if (!passing || core_->clock.uptime() + pause > until) co_return std::nullopt;
      co_await core_->clock.sleep_for(pause);
    }
  }

  std::exception_ptr unsettled() const {
    return std::make_exception_ptr(
        Error(Remedy::retry, fmt::format("sink {}, table {}, slice {}: the reply to COMMIT was lost and the server "
                                         "cannot be asked whether it went through; the lane's progress will tell",
                                         core_->name, table_.name, slice_.id())));
  }

  task<bool> in_ledger() {
    auto& session = *co_await connection();
    std::vector<pg::Statement> statements;
    statements.emplace_back("BEGIN");
    // Held by the lost transaction until it has ended.
    statements.push_back(sql_.lock());
    statements.push_back(*proof_);
    statements.emplace_back("COMMIT");
    const auto results = co_await session.exec_all(std::move(statements));
    co_return results[2].rows() > 0;
  }

  std::shared_ptr<PostgresCore> core_;
  const Table table_;
  const LaneId lane_;
  const Slice slice_;
  const std::string run_;
  const std::vector<CopyColumn> columns_;
  PostgresStatements sql_;
  PostgresPartitions partitions_;
  PostgresStage stage_;
  pg::Pool::Lease lease_;
  std::vector<std::string> without_;
  Published result_;
  std::optional<std::string> digest_;       // of the rows, where they are the whole slice
  std::optional<std::string> compared_at_;  // carried on when the rows were not compared this time
  std::optional<pg::Statement> proof_;      // finds a row when the transaction went through
  bool committing_ = false;
};

}  // namespace

std::unique_ptr<Load> make_postgres_load(std::shared_ptr<PostgresCore> core, const Table& table, const LaneId& lane,
                                         const Slice& slice, std::string run, Instant read_started) {
  const auto target = core->tables.at(table.name);
  return std::make_unique<PostgresLoad>(std::move(core), target, table, lane, slice, std::move(run), read_started);
}

}  // namespace sluice
