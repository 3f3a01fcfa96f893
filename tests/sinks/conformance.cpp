#include "tests/sinks/conformance.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sinks/publish_rules.hpp"

namespace sluice::conformance {
namespace {

const Instant first_read = *parse_instant("2026-03-02T06:00:00Z");

void put(Batch& batch, Cell& cell, const Given& given) {
  if (const auto* v = std::get_if<std::int64_t>(&given)) cell = Cell::of(*v);
  if (const auto* v = std::get_if<int>(&given)) cell = Cell::of(std::int64_t{*v});
  if (const auto* v = std::get_if<bool>(&given)) cell = Cell::of(std::int64_t{*v});
  if (const auto* v = std::get_if<double>(&given)) cell = Cell::of(*v);
  if (const auto* v = std::get_if<std::string>(&given)) cell = batch.add_text(*v);
  if (const auto* v = std::get_if<const char*>(&given)) cell = batch.add_text(*v);
  if (const auto* v = std::get_if<Day>(&given)) cell = Cell::of(std::int64_t{*v - Day(1970, 1, 1)});
  if (const auto* v = std::get_if<Instant>(&given)) cell = Cell::of(std::int64_t{v->time_since_epoch().count()});
  if (const auto* v = std::get_if<Duration>(&given)) cell = Cell::of(std::int64_t{v->count()});
}

LaneId lane_of(const Slice& slice, const How& how) {
  return LaneId("ads", "stream", slice.partition().id, how.lane);
}

}  // namespace

std::vector<std::string> kinds_of_sinks() {
  return {"sqlite", "postgres"};
}

std::unique_ptr<SinkUnderTest> make_sink_under_test(const std::string& kind) {
  return kind == "sqlite" ? sqlite_under_test() : postgres_under_test();
}

Batch batch_of(const Table& table, const std::vector<GivenRow>& rows) {
  Batch batch(table.columns.size());
  for (const auto& row : rows) {
    auto cells = batch.add_row();
    if (row.size() != cells.size()) throw std::logic_error("a row of another width");
    for (std::size_t i = 0; i < row.size(); ++i) put(batch, cells[i], row[i]);
    batch.set_raw("{\"row\":" + std::to_string(batch.rows()) + "}");
  }
  return batch;
}

Conformance::Conformance() {
  const auto kind = GENERATE(from_range(kinds_of_sinks()));
  UNSCOPED_INFO("sink: " << kind);
  subject = make_sink_under_test(kind);
  sink = subject->make(events);
}

std::unique_ptr<Load> Conformance::open(const Table& table, const Slice& slice, const How& how) {
  const auto started = how.read_started.value_or(first_read + std::chrono::seconds(++loads_));
  return subject->run(sink->open(table, lane_of(slice, how), slice, how.run, started));
}

void Conformance::stage(Load& load, const Table& table, const std::vector<GivenRow>& rows) {
  auto batch = batch_of(table, rows);
  subject->run(load.stage(batch));
}

Published Conformance::publish(Load& load, const Slice& slice, std::int64_t read, const How& how) {
  Publication publication;
  publication.expected_version = how.version.value_or(progress(slice.partition().id, how.lane).version);
  publication.done_to = how.done_to;
  publication.days = how.days;
  publication.read = how.read.value_or(read);
  publication.filtered = how.filtered;
  publication.believe_empty = how.believe_empty;
  publication.complete = how.complete;
  return subject->run(load.publish(publication));
}

Published Conformance::load(const Table& table, const Slice& slice, const std::vector<GivenRow>& rows, const How& how) {
  const auto opened = open(table, slice, how);
  auto batch = batch_of(table, rows);
  batch.rejects = how.rejects;
  subject->run(opened->stage(batch));
  if (!how.without.empty()) opened->without_columns(how.without);
  return publish(*opened, slice, static_cast<std::int64_t>(rows.size() + how.rejects.size()) + how.filtered, how);
}

Progress Conformance::progress(const std::string& partition, const std::string& lane, const std::string& table,
                               const std::string& days) {
  const LaneId id("ads", "stream", partition, lane);
  return subject->run(sink->progress(id, table, days));
}

std::string Conformance::one(const std::string& sql) {
  const auto rows = query(sql);
  if (rows.size() != 1) throw std::logic_error(std::to_string(rows.size()) + " rows instead of one");
  return rows[0];
}

Error Conformance::error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e;
  }
  throw std::logic_error("no error came");
}

Table insights() {
  Table table;
  table.name = "insights";
  table.columns = {{"account_id", Type::text, 0},   {"date_start", Type::date, 1}, {"ad_id", Type::text, 2},
                   {"impressions", Type::int64, 3}, {"spend", Type::decimal, 4},   {"name", Type::text, 5}};
  table.key = {"account_id", "date_start", "ad_id"};
  table.partition_column = "account_id";
  table.cursor_column = "date_start";
  table.cursor = Cursor::date;
  return table;
}

Table campaigns() {
  Table table;
  table.name = "campaigns";
  table.columns = {{"id", Type::text, 0}, {"name", Type::text, 1}, {"updated_time", Type::timestamp, 2}};
  table.key = {"id"};
  table.cursor_column = "updated_time";
  table.cursor = Cursor::value;
  return table;
}

Table notes(LoadMode mode) {
  Table table;
  table.name = "notes";
  table.columns = {{"account_id", Type::text, 0}, {"note", Type::text, 1}, {"number", Type::int64, 2}};
  table.mode = mode;
  table.partition_column = "account_id";
  return table;
}

Day day(int of_march) {
  return Day(2026, 3, of_march);
}

Slice march(const std::string& account, int from, std::optional<int> last) {
  return Slice::days(Partition(account), day(from), day(last.value_or(from)) + 1);
}

Reject reject_of(std::initializer_list<std::string> key, const std::string& raw) {
  const nlohmann::json parts = std::vector<std::string>(key);
  return Reject{parts.dump(), "column spend: not a number", "type", raw};
}

Reject unreadable_reject(const std::string& raw) {
  return Reject{"", "column ad_id: missing", "required", raw};
}

}  // namespace sluice::conformance
