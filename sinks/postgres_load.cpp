#include "sinks/postgres_load.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sinks/copy_encoder.hpp"
#include "sinks/postgres_rows.hpp"
#include "sinks/postgres_statements.hpp"

namespace sluice {
namespace {

constexpr std::size_t put_size = 64 * 1024;
constexpr std::int64_t worth_analyzing = 50'000;             // rows; ANALYZE takes some 25 ms
constexpr std::size_t most_partitions = 400;                 // made for one slice; further rows go to the default one
constexpr Duration settle_within = std::chrono::minutes(2);  // an unknown COMMIT

// The key comes first: the bytes of a row's beginning are its identity.
std::vector<CopyColumn> copy_columns(const Table& table, const PostgresTable& target) {
  std::vector<CopyColumn> columns;
  const auto add = [&](const TableColumn& column, bool key) {
    const auto* there = target.find(column.name);
    if (!there)
      throw Error(Remedy::retry,
                  fmt::format("table {}: the column {} is not there; it was dropped, or the table was not prepared",
                              table.name, column.name));
    columns.emplace_back(column.name, column.source, column.type, there->oid, there->modifier, there->native, key);
  };
  for (const auto& name : table.key) add(*table.find(name), true);
  for (const auto& column : table.columns)
    if (std::find(table.key.begin(), table.key.end(), column.name) == table.key.end()) add(column, false);
  return columns;
}

class PostgresLoad final : public Load {
 public:
  PostgresLoad(std::shared_ptr<PostgresCore> core, const PostgresTable& target, const Table& table, const LaneId& lane,
               const Slice& slice, std::string run, Instant read_started)
      : core_(std::move(core)),
        table_(table),
        lane_(lane),
        slice_(slice),
        partitioned_(target.partitioned && table.partition_by.has_value()),
        encoder_(copy_columns(table, target)),
        sql_(core_->options.schema, table_, encoder_.columns(), lane_, slice_, run, read_started),
        run_(std::move(run)),
        told_by_bytes_(bytes_tell_keys()),
        rows_(told_by_bytes_ && !table_.key.empty()) {
    check_scope(table_, slice_);
  }

  ~PostgresLoad() override {
    // Ends the session: its stage may be large.
    if (lease_ && sent_ > 0) lease_->close();
  }

  task<void> stage(Batch& batch) override {
    const auto repaired = encoder_.repaired();
    reject_strays(table_, slice_, batch);
    for (auto& reject : batch.rejects) rejects_.push_back(reject);
    for (std::size_t i = 0; i < batch.rows(); ++i) take(batch, i);
    batch.repaired_texts += encoder_.repaired() - repaired;
    if (rows_.bytes() >= core_->options.memory_per_slice) co_await send_ahead();
  }

  void without_columns(const std::vector<std::string>& names) override {
    without_.insert(without_.end(), names.begin(), names.end());
  }

  task<Published> publish(const Publication& publication) override {
    check_reject_share(table_, slice_, publication.read, rejects_);
    const auto began = core_->clock.uptime();
    std::exception_ptr failure;
    bool unknown = false;
    try {
      co_await transact(publication);
    } catch (const pg::PgError& error) {
      failure = std::current_exception();
      unknown = committing_ && (error.connection_lost() || error.sqlstate().empty());
    } catch (const Error&) {
      failure = std::current_exception();
    }
    if (unknown) {
      said("unknown", began);
      if (co_await went_through(failure)) failure = nullptr;
    }
    const bool written = !failure && result_.outcome != Published::Outcome::confirm_empty;
    said(written ? "committed" : "rolled_back", began);
    // Whatever is still open on the session is rolled back with it.
    if (failure && lease_) lease_->close();
    if (failure) std::rethrow_exception(failure);
    co_return result_;
  }

 private:
  bool bytes_tell_keys() const {
    const auto& columns = encoder_.columns();
    return std::all_of(columns.begin(), columns.end(), [](const CopyColumn& c) { return !c.key || bytes_tell(c.oid); });
  }

  void said(const char* outcome, Duration began) {
    core_->events.emit(TransactionDone{core_->name, outcome, core_->clock.uptime() - began});
  }

  // ---- rows

  void take(const Batch& batch, std::size_t i) {
    scratch_.clear();
    Reject why;
    if (!encoder_.encode(batch, i, scratch_, why)) {
      rejects_.push_back(reject_of(table_, batch, i, std::move(why.rule), std::move(why.reason)));
      return;
    }
    ++taken_;
    if (partitioned_) note_partition(batch.row(i)[table_.find(table_.partition_by->column)->source]);
    const auto key_size = size_of_key();
    const auto twin = table_.key.empty() ? EncodedRows::none : rows_.find(scratch_.view().substr(0, key_size));
    if (twin == EncodedRows::none)
      rows_.add(scratch_.view(), key_size);
    else
      settle_twins(twin, key_size);
  }

  std::size_t size_of_key() const {
    FieldReader reader(scratch_.view());
    std::size_t size = 0;
    for (std::size_t i = 0; i < table_.key.size() && reader.next(); ++i) size += 4 + reader.bytes.size();
    return size;
  }

  void settle_twins(std::size_t twin, std::size_t key_size) {
    ++duplicates_;
    const auto first = rows_[twin].bytes();
    const auto second = scratch_.view();
    if (first == second) return;
    const auto& columns = encoder_.columns();
    const auto different = differing_columns(columns, first, second);
    if (different.empty()) return;
    if (table_.cursor == Cursor::date) throw_contradiction(table_, slice_, different);
    if (not_older(columns, table_.cursor_column, first, second)) rows_.replace(twin, second, key_size);
  }

  void note_partition(const Cell& cell) {
    if (cell.kind != Kind::int64 || ranges_.size() > most_partitions) return;
    const auto* column = table_.find(table_.partition_by->column);
    auto days = cell.integer;
    if (column->type.type == Type::timestamp) days = std::chrono::floor<std::chrono::days>(Duration(days)).count();
    if (days >= last_range_.first && days < last_range_.second) return;
    const Day epoch(1970, 1, 1);
    const auto range = partition_range(table_.name, table_.partition_by->unit, epoch + days);
    last_range_ = {range.from - epoch, range.to - epoch};
    ranges_.emplace(range.name, range);
  }

  // ---- sending

  task<pg::Connection*> connection() {
    if (!lease_) lease_ = co_await core_->pool.acquire();
    lease_->set_context(fmt::format("table {}, slice {}", table_.name, slice_.id()));
    co_return &*lease_;
  }

  task<void> send_ahead() {
    auto& session = *co_await connection();
    if (sent_ == 0) {
      std::vector<pg::Statement> statements;
      statements.emplace_back("DROP TABLE IF EXISTS " + sql_.stage(true));
      statements.emplace_back(sql_.create_stage(true));
      co_await session.exec_all(std::move(statements));
    }
    const auto stored = co_await copy(session, sql_.copy_to_stage(true), std::string());
    sent_ += stored;
    ++groups_;
    rows_.clear();
  }

  // `suffix`: encoded fields that every row gets at its end.
  task<std::int64_t> copy(pg::Connection& session, std::string sql, std::string suffix) {
    const auto fields = encoder_.columns().size() + (suffix.empty() ? 0 : own_columns().size());
    co_await session.begin_copy(std::move(sql));
    ByteBuffer out;
    out.append(copy_header());
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      append_count(out, fields);
      out.append(rows_[i].bytes());
      out.append(suffix);
      if (out.size() < put_size) continue;
      co_await session.put(out.view());
      out.clear();
    }
    out.append(copy_trailer());
    co_await session.put(out.view());
    const auto stored = co_await session.end_copy();
    if (stored != static_cast<std::int64_t>(rows_.size()))
      throw Error(Remedy::retry, fmt::format("table {}, slice {}: {} rows were sent, the server stored {}", table_.name,
                                             slice_.id(), rows_.size(), stored));
    co_return stored;
  }

  std::string own_fields(Instant now) const {
    ByteBuffer fields;
    append_text_field(fields, run_);
    append_text_field(fields, slice_.id());
    append_timestamp_field(fields, now);
    return std::string(fields.view());
  }

  // A partition that cannot be made is no reason to stop: the default one takes the rows.
  task<void> make_partitions(pg::Connection& session) {
    auto& known = core_->tables.at(table_.name).partitions;
    for (const auto& [name, range] : ranges_) {
      if (known.contains(name)) continue;
      std::vector<pg::Statement> statements;
      statements.emplace_back("BEGIN");
      statements.emplace_back("SET LOCAL lock_timeout = '5s'");
      for (auto& sql : create_partition(table_, core_->options.schema, range)) statements.emplace_back(std::move(sql));
      statements.emplace_back("COMMIT");
      std::optional<pg::PgError> failure;
      try {
        co_await session.exec_all(std::move(statements));
      } catch (const pg::PgError& error) {
        failure = error;
      }
      if (failure && failure->connection_lost()) throw *failure;
      if (failure) co_await session.exec("ROLLBACK");
      known.insert(name);
      constexpr std::string_view duplicate_table = "42P07";
      if (failure && failure->sqlstate() != duplicate_table)
        core_->events.emit(
            Notice{Level::warning, lane_.pipeline, lane_.stream,
                   fmt::format("the partition {} could not be made, its rows go to the default partition: {}", name,
                               failure->what())});
    }
  }

  // ---- publishing

  task<void> transact(const Publication& publication) {
    auto& session = *co_await connection();
    co_await make_partitions(session);
    const auto now = core_->clock.now();
    sql_.set_loaded_at(now);
    result_ = Published();
    result_.version = publication.expected_version + 1;
    std::vector<pg::Statement> statements;
    statements.emplace_back("BEGIN");
    // The planner expects one row of a new day and would walk the stage once for each row of the window. Objects are
    // another matter: few of a large table change at a time.
    statements.emplace_back(scope_of(table_) == Scope::none ? "SELECT" : "SET LOCAL enable_nestloop = off");
    statements.push_back(sql_.lock());
    statements.push_back(sql_.fence(publication.expected_version, publication.done_to));
    statements.push_back(sql_.later_reads());
    statements.push_back(sql_.count_scope());
    const auto opened = co_await session.exec_all(std::move(statements));
    if (opened[3].affected() != 1) throw_fenced(lane_, publication.expected_version);
    std::vector<std::string> later;
    for (int i = 0; i < opened[4].rows(); ++i) later.push_back(opened[4].text(i, 0));
    const auto overtaken_by = overtaken(slice_, later);
    if (overtaken_by == Overtaken::partly) throw_overtaken(table_, slice_);
    if (overtaken_by == Overtaken::wholly) {
      result_.outcome = Published::Outcome::superseded;
      co_await commit(session, publication);
      co_return;
    }
    const auto before = opened[5].integer(0, 0);
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
    counts.quarantined = static_cast<std::int64_t>(rejects_.size());
    digest_.reset();
    compared_at_.reset();
    if (sent_ == 0 && told_by_bytes_ && rejects_.empty() && without_.empty())
      digest_ = digest(rows_, encoder_.columns());
    const bool may_trust = !publication.compare_all && before > 0 && before == static_cast<std::int64_t>(rows_.size());
    bool same = false;
    if (digest_ && may_trust && scope_of(table_) != Scope::none) same = co_await unchanged_since(session);
    if (!same) co_await write(session, before, now);
    counts.duplicate = duplicates_;
    counts.unchanged = taken_ - duplicates_ - counts.inserted - counts.updated;
    check_balance(table_, slice_, counts);
    co_await commit(session, publication);
  }

  // The window's last published read had the same rows, nobody has published a part of it since, and its rows were
  // compared with the table within a day: what others did to the rows by hand is mended by then.
  task<bool> unchanged_since(pg::Connection& session) {
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
      before = 0;
    }
    if (keyless && scope_of(table_) == Scope::none) before = 0;
    if (before == 0 && sent_ == 0 && told_by_bytes_) {
      if (rows_.size() > 0) counts.inserted = co_await copy(session, sql_.copy_to_table(), own_fields(now));
      co_return;
    }
    const bool kept = sent_ > 0;
    co_await fill_stage(session, kept);
    if (!keyless && (groups_ > 1 || !told_by_bytes_)) co_await settle_staged_twins(session, kept);
    if (staged_ >= worth_analyzing) co_await session.exec("ANALYZE " + sql_.stage(kept));
    if (before == 0) {
      const auto inserted = co_await session.exec(sql_.insert_all(kept));
      counts.inserted = inserted.affected();
      co_return;
    }
    co_await merge(session, kept, before);
  }

  task<void> fill_stage(pg::Connection& session, bool kept) {
    if (kept) {
      if (rows_.size() > 0) co_await send_ahead();
      staged_ = sent_;
      co_return;
    }
    const auto name = sql_.stage(false), shape = sql_.create_stage(false);
    if (auto& made = session.session_notes[name]; made != shape) {
      // Inside the transaction: it is there for good only once this commits.
      if (!made.empty()) co_await session.exec("DROP TABLE IF EXISTS " + name);
      made = "?";
      co_await session.exec(shape);
      stage_made_ = true;
    }
    staged_ = 0;
    if (rows_.size() > 0) staged_ = co_await copy(session, sql_.copy_to_stage(false), std::string());
    ++groups_;
  }

  task<void> settle_staged_twins(pg::Connection& session, bool kept) {
    const auto counted = co_await session.exec(sql_.count_duplicates(kept));
    const auto more = counted.integer(0, 0);
    if (more == 0) co_return;
    if (table_.cursor == Cursor::date) {
      const auto flags = co_await session.exec(sql_.differing(kept));
      std::vector<std::string> names;
      for (int i = 0; i < flags.columns(); ++i)
        if (flags.flag(0, i)) names.push_back(encoder_.columns()[static_cast<std::size_t>(i)].name);
      if (!names.empty()) throw_contradiction(table_, slice_, names);
    }
    const auto dropped = co_await session.exec(sql_.drop_duplicates(kept));
    duplicates_ += dropped.affected();
    staged_ -= dropped.affected();
  }

  task<void> merge(pg::Connection& session, bool kept, std::int64_t before) {
    auto& counts = result_.counts;
    std::vector<pg::Statement> statements;
    statements.push_back(sql_.update(kept, without_));
    statements.push_back(sql_.insert_new(kept));
    const auto done = co_await session.exec_all(std::move(statements));
    counts.updated = done[0].affected();
    counts.inserted = done[1].affected();
    const auto scope = scope_of(table_);
    if (scope == Scope::none || before + counts.inserted == staged_) co_return;
    std::vector<std::vector<std::string>> spared;
    for (const auto& reject : rejects_) {
      spared.push_back(comparable_key(reject));
      if (spared.back().empty()) {
        core_->events.emit(Notice{Level::warning, lane_.pipeline, lane_.stream, deletion_suspended(slice_)});
        co_return;
      }
    }
    const auto removed = co_await session.exec(sql_.delete_missing(kept, spared));
    counts.deleted = removed.affected();
  }

  std::vector<std::string> comparable_key(const Reject& reject) const {
    auto key = readable_key(reject, table_);
    for (std::size_t i = 0; i < key.size(); ++i)
      if (!PostgresStatements::comparable_as_text(encoder_.columns()[i].oid)) return {};
    return key;
  }

  task<void> commit(pg::Connection& session, const Publication& publication) {
    const bool superseded = result_.outcome == Published::Outcome::superseded;
    std::vector<pg::Statement> statements;
    if (!superseded) statements = sql_.quarantine(rejects_);
    PostgresStatements::LedgerEntry entry;
    entry.counts = result_.counts;
    entry.complete = publication.complete && without_.empty();
    entry.superseded = superseded;
    entry.version = result_.version;
    entry.digest = digest_;
    entry.compared_at = compared_at_;
    statements.push_back(sql_.ledger(entry));
    statements.emplace_back("COMMIT");
    committing_ = true;
    const auto results = co_await session.exec_all(std::move(statements));
    // libpq reports success also when the server answers COMMIT with ROLLBACK.
    if (results.back().tag() != "COMMIT")
      throw Error(Remedy::retry, fmt::format("table {}, slice {}: the server rolled the transaction back ({})",
                                             table_.name, slice_.id(), results.back().tag()));
    committing_ = false;
    if (stage_made_) session.session_notes[sql_.stage(false)] = sql_.create_stage(false);
  }

  // The reply to COMMIT did not come. The ledger's row was written in the same transaction: it is there, or it is not.
  task<bool> went_through(std::exception_ptr& failure) {
    const auto until = core_->clock.uptime() + settle_within;
    for (Duration pause = std::chrono::milliseconds(200);;
         pause = std::min<Duration>(pause * 2, std::chrono::seconds(10))) {
      lease_.release();
      bool passing = true;
      try {
        co_return co_await in_ledger();
      } catch (const Error& error) {
        passing = error.passing();
      }
      if (!passing || core_->clock.uptime() + pause > until) {
        const Error error(Remedy::retry,
                          fmt::format("sink {}, table {}, slice {}: the reply to COMMIT was lost and the server cannot "
                                      "be asked whether it went through; the lane's progress will tell",
                                      core_->name, table_.name, slice_.id()));
        failure = std::make_exception_ptr(error);
        co_return false;
      }
      co_await core_->clock.sleep_for(pause);
    }
  }

  task<bool> in_ledger() {
    auto& session = *co_await connection();
    std::vector<pg::Statement> statements;
    statements.emplace_back("BEGIN");
    // Held by the lost transaction until it has ended.
    statements.push_back(sql_.lock());
    statements.push_back(sql_.committed(result_.version));
    statements.emplace_back("COMMIT");
    const auto results = co_await session.exec_all(std::move(statements));
    co_return results[2].rows() > 0;
  }

  std::shared_ptr<PostgresCore> core_;
  const Table table_;
  const LaneId lane_;
  const Slice slice_;
  const bool partitioned_;
  CopyEncoder encoder_;
  PostgresStatements sql_;
  const std::string run_;
  const bool told_by_bytes_;
  EncodedRows rows_;
  ByteBuffer scratch_;
  pg::Pool::Lease lease_;
  std::vector<Reject> rejects_;
  std::vector<std::string> without_;
  std::map<std::string, PartitionRange> ranges_;
  std::pair<std::int64_t, std::int64_t> last_range_{1, 0};
  Published result_;
  std::int64_t taken_ = 0;  // rows that fit
  std::int64_t duplicates_ = 0;
  std::int64_t sent_ = 0;                   // rows in the kept stage
  std::int64_t staged_ = 0;                 // rows in the stage that is published from
  std::optional<std::string> digest_;       // of the rows, where they are the whole slice
  std::optional<std::string> compared_at_;  // carried on when the rows were not compared this time
  int groups_ = 0;                          // COPYs into the stage: rows of one are known to be distinct
  bool stage_made_ = false;
  bool committing_ = false;
};

}  // namespace

std::unique_ptr<Load> make_postgres_load(std::shared_ptr<PostgresCore> core, const Table& table, const LaneId& lane,
                                         const Slice& slice, std::string run, Instant read_started) {
  const auto target = core->tables.at(table.name);
  return std::make_unique<PostgresLoad>(std::move(core), target, table, lane, slice, std::move(run), read_started);
}

}  // namespace sluice
