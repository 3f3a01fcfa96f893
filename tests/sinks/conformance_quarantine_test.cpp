#include <catch2/catch.hpp>

#include "tests/sinks/conformance.hpp"

using namespace sluice;
using namespace sluice::conformance;
using namespace std::chrono_literals;
using Ends = Published::Outcome;

namespace {

GivenRow given_row(int on, const std::string& ad, int impressions = 1) {
  return {"a", day(on), ad, impressions, "1", "x"};
}

std::vector<GivenRow> rows_of(int on, int count) {
  std::vector<GivenRow> rows;
  for (int i = 0; i < count; ++i) rows.push_back(given_row(on, "ad" + std::to_string(i)));
  return rows;
}

std::vector<Reject> rejects_of(int count) {
  std::vector<Reject> rejects;
  for (int i = 0; i < count; ++i) rejects.push_back(reject_of({"a", "2026-03-01", "bad" + std::to_string(i)}));
  return rejects;
}

}  // namespace

TEST_CASE_METHOD(Conformance, "any sink: a slice's rejected rows are kept, and replaced when it is published again") {
  const auto table = insights();
  prepare(table);
  const auto lasting = reject_of({"a", "2026-03-01", "1"}, R"({"spend":"x"})");
  const auto passing = reject_of({"a", "2026-03-01", "2"}, R"({"spend":"y"})");
  load(table, march("a", 1), {}, {.run = "r1", .rejects = {lasting, passing}});
  load(table, march("a", 2), {}, {.run = "r1", .rejects = {reject_of({"a", "2026-03-02", "1"})}});
  CHECK(subject->run(sink->count_quarantined("ads", "stream")) == 3);
  CHECK(subject->run(sink->count_quarantined("ads", "other")) == 0);
  const auto first = one("SELECT first_seen FROM _sluice_quarantine WHERE raw = '{\"spend\":\"x\"}'");

  subject->run(subject->clock().sleep_for(5ms));
  load(table, march("a", 1), {given_row(1, "2")}, {.run = "r2", .rejects = {lasting}});
  CHECK(subject->run(sink->count_quarantined("ads", "stream")) == 2);
  CHECK(one("SELECT slice, reason, rule, raw, run FROM _sluice_quarantine WHERE slice = 'a/2026-03-01'") ==
        "a/2026-03-01|column spend: not a number|type|{\"spend\":\"x\"}|r2");
  CHECK(one("SELECT first_seen FROM _sluice_quarantine WHERE slice = 'a/2026-03-01'") == first);
  CHECK(one("SELECT count(*) FROM _sluice_quarantine WHERE slice = 'a/2026-03-01' AND last_seen > first_seen") == "1");

  const auto shown = subject->run(sink->quarantined("ads", "stream", {}, 10));
  REQUIRE(shown.size() == 2);
  const auto& one_of_them = shown[0].slice == "a/2026-03-01" ? shown[0] : shown[1];
  CHECK(one_of_them.raw == R"({"spend":"x"})");
  CHECK(one_of_them.key == R"(["a","2026-03-01","1"])");
  CHECK(one_of_them.rule == "type");
  CHECK(one_of_them.run == "r2");
  CHECK_FALSE(one_of_them.id.empty());
  CHECK(subject->run(sink->quarantined("ads", "stream", {}, 1)).size() == 1);

  load(table, march("a", 1), {given_row(1, "1"), given_row(1, "2")});
  CHECK(subject->run(sink->count_quarantined("ads", "stream")) == 1);
}

TEST_CASE_METHOD(Conformance, "any sink: an answer that is set aside is in the quarantine, and moves nothing else") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {given_row(1, "1")}, {.done_to = "2026-03-02", .rejects = rejects_of(1)});
  const auto rows_of_quarantine = query("SELECT raw FROM _sluice_quarantine");
  const auto set_aside = [&](const std::string& raw) {
    const auto loading = open(table, march("a", 1));
    Batch batch(table.columns.size());
    batch.rejects.push_back(Reject{"", "found a list, expected an object", std::string(structure_rule), raw});
    subject->run(loading->stage(batch));
    subject->run(loading->set_aside());
  };
  for (const auto* raw : {"[1]", "[2]"}) {
    set_aside(raw);
    CHECK(query("SELECT raw FROM _sluice_quarantine WHERE rule = 'structure'") == Rows{raw});
    CHECK(query("SELECT raw FROM _sluice_quarantine WHERE rule <> 'structure'") == rows_of_quarantine);
    CHECK(one("SELECT count(*) FROM _sluice_loads") == "1");
    CHECK(one("SELECT count(*) FROM insights") == "1");
    CHECK(progress("a").version == 1);
    CHECK(progress("a").done_to == "2026-03-02");
  }
  load(table, march("a", 1), {given_row(1, "1")});
  CHECK(query("SELECT raw FROM _sluice_quarantine").empty());
}

TEST_CASE_METHOD(Conformance, "any sink: an answer for a range of values leaves when a later run brings the range") {
  const auto table = campaigns();
  prepare(table);
  const auto set_aside = [&](const std::string& partition, const std::string& run) {
    const auto loading = open(table, Slice::values(Partition(partition), "1", "2"), {.run = run});
    Batch batch(table.columns.size());
    batch.rejects.push_back(Reject{"", "found a list, expected an object", std::string(structure_rule), "[1]"});
    subject->run(loading->stage(batch));
    subject->run(loading->set_aside());
  };
  const auto left = [&] { return query("SELECT slice FROM _sluice_quarantine ORDER BY slice"); };
  set_aside("a", "r1");
  set_aside("a/(b", "r1");
  set_aside("ab", "r1");
  // A part of what the run reads: the other part may still fail.
  load(table, Slice::values(Partition("a"), "0", "1"), {}, {.run = "r1"});
  CHECK(left() == Rows{"a/(1, 2]", "a/(b/(1, 2]", "ab/(1, 2]"});
  load(table, Slice::values(Partition("a"), "1", "3"), {}, {.run = "r2"});
  CHECK(left() == Rows{"a/(b/(1, 2]", "ab/(1, 2]"});
}

TEST_CASE_METHOD(Conformance, "any sink: equal rejected rows are each kept, and raw rows keep what no text may hold") {
  const auto table = insights();
  prepare(table);
  const auto odd = unreadable_reject(std::string("{\"a\":\"\xff\0\"}", 10));
  const auto done = load(table, march("a", 1), {}, {.rejects = {odd, odd, odd}});
  CHECK(done.counts.quarantined == 3);
  CHECK(subject->run(sink->count_quarantined("ads", "stream")) == 3);
}

TEST_CASE_METHOD(Conformance, "any sink: a row whose key is in quarantine is not deleted") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {given_row(1, "kept"), given_row(1, "gone"), given_row(1, "seen")});
  const auto done =
      load(table, march("a", 1), {given_row(1, "seen")}, {.rejects = {reject_of({"a", "2026-03-01", "kept"})}});
  CHECK(done.counts.deleted == 1);
  CHECK(query("SELECT ad_id FROM insights ORDER BY 1") == Rows{"kept", "seen"});
}

TEST_CASE_METHOD(Conformance, "any sink: a quarantined row without a readable key suspends deletion in its window") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {given_row(1, "1"), given_row(1, "2")});
  const auto done = load(table, march("a", 1), {given_row(1, "2", 5)}, {.rejects = {unreadable_reject()}});
  CHECK(done.counts.deleted == 0);
  CHECK(done.counts.updated == 1);
  CHECK(query("SELECT ad_id, impressions FROM insights ORDER BY 1") == Rows{"1|1", "2|5"});
}

TEST_CASE_METHOD(Conformance, "any sink: a rejected row whose key lacks its day suspends deletion too") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {given_row(1, "1"), given_row(1, "2")});
  CHECK(load(table, march("a", 1), {given_row(1, "2")}, {.rejects = {reject_of({"a", "", "1"})}}).counts.deleted == 0);
}

TEST_CASE_METHOD(Conformance, "any sink: a rejected row protects its row where a value of its key has several texts") {
  auto table = insights();
  table.columns[2].type = GENERATE(Type::boolean, Type::float64, Type::uuid);
  const bool is_uuid = table.columns[2].type.type == Type::uuid;
  const Given gone = is_uuid ? Given("00000000-0000-0000-0000-0000000000aa") : Given(1);
  const Given seen = is_uuid ? Given("00000000-0000-0000-0000-0000000000bb") : Given(0);
  prepare(table);
  load(table, march("a", 1), {{"a", day(1), gone, 1, "1", "x"}, {"a", day(1), seen, 1, "1", "x"}});
  const auto key = is_uuid ? "00000000-0000-0000-0000-0000000000AA" : "1";
  const auto done = load(table, march("a", 1), {{"a", day(1), seen, 1, "1", "x"}},
                         {.rejects = {reject_of({"a", "2026-03-01", key})}});
  CHECK(done.counts.deleted == 0);
}

TEST_CASE_METHOD(
    Conformance,
    "any sink: rows outside their slice are set aside: nothing is deleted, overwritten or doubled by them") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {given_row(1, "1"), given_row(1, "2")});
  load(table, march("a", 2), {given_row(2, "there", 7)});
  const auto there = query("SELECT * FROM insights WHERE date_start = '2026-03-02'");
  events.all.clear();
  const GivenRow other_account{"b", day(1), "1", 1, "1", "x"};
  const auto done = load(table, march("a", 1), {given_row(1, "1", 5), given_row(2, "there", 9), other_account});
  CHECK(done.counts.updated == 1);
  CHECK(done.counts.quarantined == 2);
  CHECK(done.counts.deleted == 0);  // "2" may be what a stray was meant to be
  CHECK(query("SELECT ad_id, impressions FROM insights WHERE date_start = '2026-03-01' ORDER BY 1") ==
        Rows{"1|5", "2|1"});
  CHECK(query("SELECT * FROM insights WHERE date_start = '2026-03-02'") == there);
  CHECK(one("SELECT count(*) FROM insights") == "3");
  CHECK(query("SELECT slice, rule, key, reason FROM _sluice_quarantine ORDER BY key") ==
        Rows{"a/2026-03-01|window|[\"a\",\"2026-03-02\",\"there\"]|column date_start: the row does not belong to the "
             "slice that was asked for",
             "a/2026-03-01|window|[\"b\",\"2026-03-01\",\"1\"]|column account_id: the row does not belong to the "
             "slice that was asked for"});
  REQUIRE(events.of<Notice>().size() == 1);
  CHECK_THAT(events.of<Notice>()[0].message, Catch::Contains("a/2026-03-01") && Catch::Contains("none is deleted"));

  CHECK(load(table, march("a", 2), {given_row(2, "there", 7)}).counts.unchanged == 1);
  CHECK(load(table, march("a", 1), {given_row(1, "1", 5)}).counts.deleted == 1);
  CHECK(one("SELECT count(*) FROM insights") == "2");
  CHECK(subject->run(sink->count_quarantined("ads", "stream")) == 0);
}

TEST_CASE_METHOD(Conformance, "any sink: a row without the day of its window is set aside") {
  const auto table = insights();
  prepare(table);
  const auto done = load(table, march("a", 1), {given_row(1, "1"), {"a", nullptr, "2", 1, "1", "x"}});
  CHECK(done.counts.inserted == 1);
  CHECK(one("SELECT rule, key FROM _sluice_quarantine") == "window|");
}

TEST_CASE_METHOD(Conformance, "any sink: a first load keeps rows outside its slice out of the table") {
  const auto table = insights();
  prepare(table);
  const auto done = load(table, march("a", 1), {given_row(1, "1"), given_row(2, "1")});
  CHECK(done.counts.inserted == 1);
  CHECK(done.counts.quarantined == 1);
  CHECK(query("SELECT date_start FROM insights") == Rows{"2026-03-01"});
  CHECK(load(table, march("a", 2), {given_row(2, "1")}).counts.inserted == 1);
}

TEST_CASE_METHOD(Conformance, "any sink: a slice of which more than a tenth lies outside it fails") {
  const auto table = insights();
  prepare(table);
  const auto error = error_of([&] { load(table, march("a", 1), rows_of(2, 11)); });
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("11 of 11") && Catch::Contains("column date_start"));
  CHECK(progress("a").version == 0);
}

TEST_CASE_METHOD(Conformance, "any sink: a partition that no column holds is refused, since others' rows would go") {
  auto table = insights();
  prepare(table);
  table.partition_column.clear();
  const auto error = error_of([&] { load(table, march("a", 1), {given_row(1, "1")}); });
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("no column holds the partition"));
}

TEST_CASE_METHOD(Conformance,
                 "any sink: a slice with more than a tenth of its rows in quarantine, and more than ten, fails") {
  const auto table = insights();
  prepare(table);
  const auto error = error_of([&] { load(table, march("a", 1), rows_of(1, 89), {.rejects = rejects_of(11)}); });
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("11 of 100") && Catch::Contains("column spend: not a number"));
  CHECK(one("SELECT count(*) FROM insights") == "0");
  CHECK(progress("a").version == 0);
  CHECK(subject->run(sink->count_quarantined("ads", "stream")) == 0);
  CHECK(load(table, march("a", 1), rows_of(1, 99), {.rejects = rejects_of(11)}).outcome == Ends::published);
  CHECK(load(table, march("a", 2), {given_row(2, "1")}, {.rejects = rejects_of(10)}).outcome == Ends::published);
}
