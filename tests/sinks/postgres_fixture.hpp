#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "sinks/postgres.hpp"
#include "tests/support/events.hpp"
#include "tests/support/postgres_cluster.hpp"
#include "tests/support/real_loop.hpp"

namespace sluice::test {

// A sink over a database of its own, and short words for what the tests do with it.
class Warehouse {
 public:
  explicit Warehouse(std::string database = PostgresCluster::instance().fresh_database(), std::string url = {})
      : database_(std::move(database)), url_(url.empty() ? cluster().url(database_) : std::move(url)) {
    options.url = Secret(url_);
    options.schema = "marketing";
  }
  ~Warehouse() { sink_.reset(); }

  static PostgresCluster& cluster() { return PostgresCluster::instance(); }
  Sink& sink() {
    if (!sink_) sink_ = make_postgres_sink(options, SinkContext{"warehouse", io.get_executor(), clock, events});
    return *sink_;
  }
  void reconnect() { sink_.reset(); }
  template <typename T>
  T run(task<T> work) {
    return run_on(io, std::move(work));
  }
  void run(task<void> work) { run_on(io, std::move(work)); }
  std::string psql(const std::string& sql) const { return cluster().psql(database_, sql); }
  std::string ask(const std::string& sql) const { return psql("SET search_path = marketing; " + sql); }
  const std::string& database() const { return database_; }

  asio::io_context io;
  RealClock clock{io.get_executor()};
  RecordedEvents events;
  PostgresOptions options;

 private:
  std::string database_, url_;
  std::unique_ptr<Sink> sink_;
};

// One row of the tests' table: (account, day, ad) → spend, clicks, actions.
struct Row {
  std::string ad;
  std::string spend = "1.5";
  std::int64_t clicks = 1;
  std::string actions = R"([{"type":"click"}])";
  int day = 1;
  std::string account = "act_1";
};

inline Table ads_table() {
  Table table;
  table.name = "insights";
  table.comment = "ads by day";
  table.columns.emplace_back("account_id", Type::text, 0);
  table.columns.emplace_back("date_start", Type::date, 1, "the day in the account's zone");
  table.columns.emplace_back("ad_id", Type::text, 2);
  table.columns.emplace_back("spend", DataType(Type::decimal, 18, 4), 3);
  table.columns.emplace_back("clicks", Type::int64, 4);
  table.columns.emplace_back("actions", Type::json, 5);
  table.key = {"account_id", "date_start", "ad_id"};
  table.partition_column = "account_id";
  table.cursor_column = "date_start";
  table.cursor = Cursor::date;
  return table;
}

inline Batch insights_batch(const std::vector<Row>& rows) {
  Batch batch(6);
  for (const auto& row : rows) {
    batch.add_row();
    const auto cells = [&] { return batch.row(batch.rows() - 1); };
    const auto put = [&](std::size_t at, const std::string& text) {
      const auto cell = batch.add_text(text);
      cells()[at] = cell;
    };
    put(0, row.account);
    cells()[1] = Cell::of(std::int64_t{Day(2026, 3, row.day) - Day(1970, 1, 1)});
    put(2, row.ad);
    if (!row.spend.empty()) put(3, row.spend);
    cells()[4] = Cell::of(row.clicks);
    if (!row.actions.empty()) put(5, row.actions);
  }
  return batch;
}

inline Slice march(int day, const std::string& account = "act_1") {
  return Slice::days(Partition(account), Day(2026, 3, day), Day(2026, 3, day + 1));
}
inline LaneId live(const std::string& account = "act_1", const std::string& lane = "live") {
  return LaneId("ads", "insights", account, lane);
}

// A warehouse whose table is prepared, with memory for 4 MiB of rows per slice or for nothing at all.
struct Prepared : Warehouse {
  explicit Prepared(Table table = ads_table(), bool spill = false) {
    if (spill) options.memory_per_slice = 0;
    changes = run(sink().prepare(table));
  }
  std::string rows() const { return ask("SELECT ad_id, spend, clicks FROM insights ORDER BY 1, 2"); }
  std::map<std::string, std::string> changes;
};

// What one publish is given beside its rows.
struct Publish {
  Table table = ads_table();
  LaneId lane = live();
  Slice slice = march(1);
  std::string run = "run-1";
  std::optional<Instant> read_started;
  std::optional<std::int64_t> version;  // nothing: as the sink has it
  std::optional<std::string> done_to;
  bool believe_empty = false;
  bool compare_all = false;
  std::vector<std::string> without;
  std::vector<Reject> rejects;
  std::int64_t filtered = 0;
};

inline task<Published> publish_batches(Warehouse& warehouse, Publish what, std::vector<Batch> batches) {
  auto& sink = warehouse.sink();
  const auto progress = co_await sink.progress(what.lane, what.table.name, "");
  const auto load = co_await sink.open(what.table, what.lane, what.slice, what.run,
                                       what.read_started.value_or(warehouse.clock.now()));
  Publication publication;
  publication.expected_version = what.version.value_or(progress.version);
  publication.done_to = what.done_to;
  publication.believe_empty = what.believe_empty;
  publication.compare_all = what.compare_all;
  publication.complete = what.without.empty();
  publication.filtered = what.filtered;
  publication.read = what.filtered + static_cast<std::int64_t>(what.rejects.size());
  if (!what.without.empty()) load->without_columns(what.without);
  if (batches.empty() && !what.rejects.empty()) batches.emplace_back(what.table.columns.size());
  bool first = true;
  for (auto& batch : batches) {
    publication.read += static_cast<std::int64_t>(batch.rows() + batch.rejects.size());
    if (first) batch.rejects.insert(batch.rejects.end(), what.rejects.begin(), what.rejects.end());
    first = false;
    co_await load->stage(batch);
  }
  co_return co_await load->publish(publication);
}

inline Published publish(Warehouse& warehouse, Publish what, const std::vector<Row>& rows) {
  std::vector<Batch> batches;
  batches.push_back(insights_batch(rows));
  return warehouse.run(publish_batches(warehouse, std::move(what), std::move(batches)));
}
inline Published publish(Warehouse& warehouse, const std::vector<Row>& rows) {
  return publish(warehouse, Publish(), rows);
}

}  // namespace sluice::test
