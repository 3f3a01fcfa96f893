#include <catch2/catch.hpp>

#include "tests/sinks/conformance.hpp"

using namespace sluice;
using namespace sluice::conformance;
using namespace std::chrono_literals;

namespace {

GivenRow row(int on, const std::string& ad, int impressions = 1) {
  return {"a", day(on), ad, impressions, "1", "x"};
}

}  // namespace

TEST_CASE_METHOD(Conformance, "any sink: progress moves only where it is told to, its version always") {
  const auto table = insights();
  prepare(table);
  CHECK(progress("a").version == 0);
  CHECK_FALSE(progress("a").done_to);
  load(table, march("a", 1), {row(1, "1")});
  CHECK_FALSE(progress("a").done_to);
  CHECK(progress("a").version == 1);
  CHECK(load(table, march("a", 2), {row(2, "1")}, {.done_to = "2026-03-03"}).version == 2);
  load(table, march("a", 1), {row(1, "2")});
  CHECK(progress("a").done_to == "2026-03-03");
  CHECK(progress("a").version == 3);
  CHECK(progress("b").version == 0);
}

TEST_CASE_METHOD(Conformance,
                 "any sink: a pipeline's lanes are listed, each with its progress, and only that pipeline's") {
  const auto table = insights();
  CHECK(subject->run(sink->lanes("ads")).empty());
  CHECK(progress("a").version == 0);
  prepare(table);
  load(table, march("a", 1), {row(1, "1")}, {.done_to = "2026-03-02"});
  load(table, march("b", 1), {{"b", day(1), "1", 1, "1", "x"}}, {.lane = "spring"});
  const auto lanes = subject->run(sink->lanes("ads"));
  REQUIRE(lanes.size() == 2);
  CHECK(lanes[0].first == LaneId("ads", "stream", "a", "live"));
  CHECK(lanes[0].second.done_to == "2026-03-02");
  CHECK(lanes[1].first == LaneId("ads", "stream", "b", "spring"));
  CHECK(lanes[1].second.version == 1);
  CHECK(subject->run(sink->lanes("other")).empty());
}

TEST_CASE_METHOD(Conformance, "any sink: the days that were loaded are known, of every lane, and the table's columns") {
  const auto table = insights();
  const auto days = [&](const std::string& partition) {
    auto windows = subject->run(sink->loaded_days("insights", partition));
    std::sort(windows.begin(), windows.end(), [](const auto& a, const auto& b) { return a.from < b.from; });
    return windows;
  };
  CHECK(days("a").empty());
  CHECK(subject->run(sink->columns_of("insights")).empty());
  prepare(table);
  CHECK(days("a").empty());
  load(table, march("a", 5), {row(5, "1")}, {.done_to = "2026-03-06"});
  load(table, march("a", 5), {row(5, "1")});
  load(table, march("a", 1, 3), {row(1, "1")}, {.lane = "spring"});
  load(table, march("b", 2), {{"b", day(2), "1", 1, "1", "x"}});
  CHECK(days("a") == std::vector<DayWindow>{{day(1), day(4)}, {day(5), day(6)}});
  CHECK(days("b").size() == 1);
  CHECK(subject->run(sink->loaded_days("other", "a")).empty());
  const auto columns = subject->run(sink->columns_of("insights"));
  for (const auto& column : table.columns) CHECK(std::count(columns.begin(), columns.end(), column.name) == 1);
  CHECK(subject->run(sink->columns_of("no_such_table")).empty());
}

TEST_CASE_METHOD(Conformance, "any sink: progress is of one table: for another the lane has done nothing yet") {
  const auto old_table = insights();
  auto table = insights();
  table.name = "insights_v2";
  prepare(old_table);
  load(old_table, march("a", 1), {row(1, "1")}, {.done_to = "2026-03-02"});
  prepare(table);
  CHECK_FALSE(progress("a", "live", "insights_v2").done_to);
  CHECK(progress("a", "live", "insights_v2").version == 1);
  // A slice that moves no progress, as after one that failed, does not take the old table's over.
  load(table, march("a", 2), {row(2, "1")});
  CHECK_FALSE(progress("a", "live", "insights_v2").done_to);
  CHECK(progress("a", "live", "insights_v2").version == 2);
  CHECK_FALSE(progress("a").done_to);
  load(table, march("a", 1), {row(1, "1")}, {.done_to = "2026-03-02"});
  CHECK(progress("a", "live", "insights_v2").done_to == "2026-03-02");
  CHECK(subject->run(sink->loaded_days("insights", "a")).size() == 1);
  CHECK(subject->run(sink->loaded_days("insights_v2", "a")).size() == 2);
}

TEST_CASE_METHOD(Conformance, "any sink: a table that was dropped and is made again has been loaded by nobody") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row(1, "1")}, {.done_to = "2026-03-02"});
  load(table, march("a", 1), {row(1, "1")},
       {.lane = "spring", .done_to = "2026-03-02", .days = "2026-03-01..2026-03-09"});
  CHECK(subject->run(sink->loaders("insights")) == Rows{"ads"});
  query("DROP TABLE insights");
  CHECK_FALSE(progress("a").done_to);
  prepare(table);
  prepare(table);
  CHECK_FALSE(progress("a").done_to);
  CHECK_FALSE(progress("a", "spring", "insights", "2026-03-01..2026-03-09").done_to);
  CHECK(subject->run(sink->loaded_days("insights", "a")).empty());
  CHECK(subject->run(sink->loaders("insights")).empty());
  CHECK(load(table, march("a", 1), {row(1, "1")}, {.done_to = "2026-03-02"}).counts.inserted == 1);
  CHECK(progress("a").done_to == "2026-03-02");
}

TEST_CASE_METHOD(Conformance, "any sink: a backfill's progress is of the days it was asked for, and says when") {
  const auto table = insights();
  const std::string first = "2026-03-10..2026-03-12", wider = "2026-03-05..2026-03-15";
  prepare(table);
  load(table, march("a", 12), {row(12, "1")}, {.lane = "y", .done_to = "2026-03-13", .days = first});
  CHECK(progress("a", "y", "insights", first).done_to == "2026-03-13");
  CHECK(progress("a", "y", "insights", first).updated_at);
  CHECK_FALSE(progress("a", "y", "insights", wider).done_to);
  CHECK(progress("a", "y", "insights", wider).version == 1);
  load(table, march("a", 5), {row(5, "1")}, {.lane = "y", .done_to = "2026-03-06", .days = wider});
  CHECK(progress("a", "y", "insights", wider).done_to == "2026-03-06");
  CHECK_FALSE(progress("a", "y", "insights", first).done_to);
}

TEST_CASE_METHOD(Conformance,
                 "any sink: books of an earlier sluice get the columns they lack, and its progress is not trusted") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row(1, "1")}, {.done_to = "2026-03-02"});
  query("ALTER TABLE _sluice_progress DROP COLUMN table_name");
  query("ALTER TABLE _sluice_progress DROP COLUMN days");
  sink = subject->make(events);
  CHECK(subject->run(sink->plan(table)).size() == 2);
  prepare(table);
  CHECK_FALSE(progress("a").done_to);
  load(table, march("a", 1), {row(1, "1")}, {.done_to = "2026-03-02"});
  CHECK(progress("a").done_to == "2026-03-02");
}

TEST_CASE_METHOD(Conformance, "any sink: who was overtaken by another process writes nothing and gives up") {
  const auto table = insights();
  prepare(table);
  const auto slice = march("a", 1);
  const auto mine = open(table, slice), theirs = open(table, slice);
  stage(*mine, table, {row(1, "mine")});
  stage(*theirs, table, {row(1, "theirs")});
  publish(*theirs, slice, 1, {.done_to = "2026-03-02"});
  const auto error = error_of([&] { publish(*mine, slice, 1, {.done_to = "2026-03-09", .version = 0}); });
  CHECK(error.remedy() == Remedy::give_up_partition);
  CHECK_THAT(error.what(), Catch::Contains("another process"));
  CHECK(query("SELECT ad_id FROM insights") == Rows{"theirs"});
  CHECK(progress("a").done_to == "2026-03-02");
  CHECK(progress("a").version == 1);
  CHECK(one("SELECT count(*) FROM _sluice_loads") == "1");
  const auto stale = error_of([&] { load(table, march("a", 2), {row(2, "1")}, {.version = 7}); });
  CHECK(stale.remedy() == Remedy::give_up_partition);
}

TEST_CASE_METHOD(Conformance, "any sink: the ledger has a row for each published slice, and its sums add up") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row(1, "gone"), row(1, "same"), row(1, "changed")}, {.run = "r1"});
  load(table, march("a", 1), {row(1, "same"), row(1, "changed", 2), row(1, "new"), row(1, "new")},
       {.run = "r2", .rejects = {reject_of({"a", "2026-03-01", "bad"})}, .filtered = 2});
  CHECK(query("SELECT run, pipeline, stream, partition, slice, \"window\", \"read\", inserted, updated, unchanged, "
              "deleted, "
              "duplicate, filtered, quarantined FROM _sluice_loads ORDER BY started_at") ==
        Rows{"r1|ads|stream|a|a/2026-03-01|2026-03-01|3|3|0|0|0|0|0|0",
             "r2|ads|stream|a|a/2026-03-01|2026-03-01|7|1|1|1|1|1|2|1"});
  CHECK(one("SELECT count(*) FROM _sluice_loads WHERE \"read\" = inserted + updated + unchanged + duplicate + "
            "quarantined + filtered") == "2");
  CHECK(one("SELECT count(*) FROM _sluice_loads WHERE committed_at IS NOT NULL AND started_at IS NOT NULL") == "2");
}

TEST_CASE_METHOD(Conformance, "any sink: a slice whose counts do not add up fails and writes nothing") {
  const auto table = insights();
  prepare(table);
  CHECK_THROWS_AS(load(table, march("a", 1), {row(1, "1")}, {.read = 5}), Error);
  CHECK(one("SELECT count(*) FROM insights") == "0");
  CHECK(progress("a").version == 0);
}

TEST_CASE_METHOD(Conformance, "any sink: what one process published the next one finds") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row(1, "1")}, {.done_to = "2026-03-02"});
  subject->run(sink->close());
  sink = subject->make(events);
  CHECK(progress("a").done_to == "2026-03-02");
  CHECK(progress("a").version == 1);
  prepare(table);
  CHECK(load(table, march("a", 1), {row(1, "1")}).counts.unchanged == 1);
}

TEST_CASE_METHOD(Conformance, "any sink: a sink that works says so, once, and each transaction is told") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row(1, "1")});
  CHECK_THROWS(load(table, march("a", 2), {row(2, "1")}, {.version = 9}));
  const auto states = events.of<SinkState>();
  REQUIRE(states.size() == 1);
  CHECK(states[0].up);
  CHECK(states[0].sink == "warehouse");
  const auto transactions = events.of<TransactionDone>();
  REQUIRE(transactions.size() == 2);
  CHECK(transactions[0].outcome == "committed");
  CHECK(transactions[1].outcome == "rolled_back");
}

TEST_CASE_METHOD(Conformance, "any sink: a sound sink has nothing but good to report") {
  const auto findings = subject->run(sink->check({}));
  REQUIRE_FALSE(findings.empty());
  for (const auto& finding : findings) {
    INFO(finding.message);
    CHECK(finding.level != Finding::Level::error);
  }
}

TEST_CASE_METHOD(Conformance, "any sink: old books are forgotten, but for what says which windows were loaded") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row(1, "1")}, {.run = "old", .rejects = {reject_of({"a", "2026-03-01", "x"}, "{1}")}});
  load(table, march("a", 2), {row(2, "1")}, {.run = "old", .rejects = {reject_of({"a", "2026-03-02", "x"}, "{2}")}});
  subject->run(subject->clock().sleep_for(5ms));
  const auto before = subject->clock().now();
  subject->run(subject->clock().sleep_for(5ms));
  CHECK(subject->run(sink->prune(before - 1h)) == 0);
  load(table, march("a", 1), {row(1, "1")}, {.run = "new", .rejects = {reject_of({"a", "2026-03-01", "x"}, "{1}")}});

  CHECK(subject->run(sink->prune(before)) == 2);
  CHECK(query("SELECT run, \"window\" FROM _sluice_loads ORDER BY 2") == Rows{"new|2026-03-01", "old|2026-03-02"});
  CHECK(subject->run(sink->loaded_days("insights", "a")).size() == 2);
  // Of a slice that is still read its rows are seen again and again; those of the other one were left behind.
  CHECK(query("SELECT raw, run FROM _sluice_quarantine") == Rows{"{1}|new"});
  CHECK(query("SELECT count(*) FROM insights") == Rows{"2"});
  CHECK(subject->run(sink->prune(before)) == 0);
}

TEST_CASE_METHOD(Conformance, "any sink: old lines of value ranges and of superseded reads are forgotten altogether") {
  const auto table = campaigns();
  prepare(table);
  const Partition all("");
  load(table, Slice::values(all, {}, "2026-03-01T00:00:00Z"), {});
  load(table, Slice::values(all, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"), {});
  CHECK(one("SELECT count(*) FROM _sluice_loads") == "2");
  CHECK(subject->run(sink->prune(subject->clock().now() + 1h)) == 2);
  CHECK(one("SELECT count(*) FROM _sluice_progress") == "1");
}

TEST_CASE_METHOD(Conformance, "any sink: a database that sluice has not been in has nothing to forget") {
  CHECK(subject->run(sink->prune(subject->clock().now())) == 0);
}
