#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "tests/sinks/conformance.hpp"

using namespace sluice;
using namespace sluice::conformance;
using namespace std::chrono_literals;

// Rows of the quarantine that are tried again: Load::replay.

namespace {

const Instant first_read = *parse_instant("2026-03-02T06:00:00Z");

GivenRow ad(int of_march, const std::string& id, int impressions = 10) {
  return {"a", day(of_march), id, impressions, "1.50", "name"};
}
Reject bad_ad(int of_march, const std::string& id, const std::string& raw) {
  return reject_of({"a", format_day(day(of_march)), id}, raw);
}

// Without a key, by days: a day is replaced whole, and equal rows are all kept.
Table events_by_day() {
  auto table = insights();
  table.key.clear();
  table.mode = LoadMode::append;
  return table;
}

// Objects of which no column tells the newer.
Table people() {
  auto table = campaigns();
  table.cursor_column.clear();
  return table;
}
GivenRow person(const std::string& id, const std::string& name, Instant updated = first_read) {
  return {id, name, updated};
}
Slice changes(const std::string& after, const std::string& upto) {
  return Slice::values(Partition(""), after, upto);
}

class Replaying : public Conformance {
 public:
  // Tries all rows again that a run left of a slice: those whose raw text is among `fitting` fit now.
  Replayed again(const Table& table, const Slice& slice, const std::map<std::string, GivenRow>& fitting,
                 const std::string& run = "run1") {
    QuarantineFilter filter;
    filter.slice = slice.id();
    filter.run = run;
    const auto rows = subject->run(sink->quarantined("ads", "stream", filter, 100));
    auto load = staged(table, slice, rows, fitting);
    return subject->run(load->replay(rows));
  }

  std::unique_ptr<Load> staged(const Table& table, const Slice& slice, const std::vector<QuarantinedRow>& rows,
                               const std::map<std::string, GivenRow>& fitting) {
    QuarantineFilter filter;
    filter.slice = slice.id();
    filter.run = rows.at(0).run;
    const auto reads = subject->run(sink->quarantined_reads("ads", "stream", filter));
    const LaneId lane("ads", "stream", slice.partition().id, "replay");
    auto load = subject->run(sink->open(table, lane, slice, filter.run, reads.at(0).started));
    for (const auto& row : rows) {
      const auto fits = fitting.find(row.raw);
      Batch batch(table.columns.size());
      if (fits != fitting.end()) {
        batch = batch_of(table, {fits->second});
        batch.set_raw(row.raw);
      } else {
        batch.rejects.push_back(Reject{row.key, "still no number", "cast", row.raw});
      }
      subject->run(load->stage(batch));
    }
    return load;
  }

  Rows raws() { return query("SELECT raw FROM _sluice_quarantine ORDER BY raw"); }
  std::string impressions() {
    std::string all;
    for (const auto& row : query("SELECT ad_id, impressions FROM insights ORDER BY 1, 2"))
      all += (all.empty() ? "" : " ") + row;
    return all;
  }
  Rows names() { return query("SELECT id, name FROM campaigns ORDER BY 1"); }
};

std::string told(const Replayed& done) {
  return fmt::format("{} loaded, {} skipped, {} refused", done.loaded, done.skipped, done.refused);
}

}  // namespace

TEST_CASE_METHOD(Replaying, "any sink: quarantined rows that fit now are loaded as of their read; the others stay") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {ad(1, "1")},
       {.done_to = "2026-03-02", .rejects = {bad_ad(1, "2", "r2"), bad_ad(1, "3", "r3")}});
  const auto seen = query("SELECT id, first_seen, last_seen, run FROM _sluice_quarantine WHERE raw = 'r3'");
  subject->run(subject->clock().sleep_for(5ms));

  CHECK(told(again(table, march("a", 1), {{"r2", ad(1, "2", 20)}})) == "1 loaded, 0 skipped, 1 refused");
  CHECK(impressions() == "1|10 2|20");
  CHECK(query("SELECT _sluice_run, _sluice_slice FROM insights WHERE ad_id = '2'") == Rows{"run1|a/2026-03-01"});
  CHECK(raws() == Rows{"r3"});
  CHECK(query("SELECT reason, rule FROM _sluice_quarantine") == Rows{"still no number|cast"});
  CHECK(query("SELECT id, first_seen, last_seen, run FROM _sluice_quarantine") == seen);
  CHECK(progress("a").version == 1);
  CHECK(query("SELECT run, slice, \"read\", inserted, quarantined FROM _sluice_loads WHERE lane = 'replay'") ==
        Rows{"run1|a/2026-03-01|2|1|1"});
  CHECK(one("SELECT count(*) FROM _sluice_loads WHERE NOT superseded") == "1");  // it was no read of the window

  // The next read of the day finds what was loaded.
  const auto next = load(table, march("a", 1), {ad(1, "1"), ad(1, "2", 20), ad(1, "3")}, {.run = "run2"});
  CHECK(next.counts.unchanged == 2);
  CHECK(next.counts.inserted == 1);
  CHECK(raws().empty());
}

TEST_CASE_METHOD(Replaying, "any sink: an old row that its quarantined successor had spared is updated") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {ad(1, "1", 10)});
  load(table, march("a", 1), {}, {.run = "run2", .rejects = {bad_ad(1, "1", "r")}, .read = 1});
  REQUIRE(impressions() == "1|10");
  CHECK(told(again(table, march("a", 1), {{"r", ad(1, "1", 11)}}, "run2")) == "1 loaded, 0 skipped, 0 refused");
  CHECK(impressions() == "1|11");
  CHECK(one("SELECT inserted, updated FROM _sluice_loads WHERE lane = 'replay'") == "0|1");
}

TEST_CASE_METHOD(Replaying, "any sink: a row whose window was read and published again since comes too late") {
  const auto table = GENERATE(insights(), events_by_day());
  prepare(table);
  load(table, march("a", 1), {ad(1, "1")}, {.rejects = {bad_ad(1, "2", "r2"), bad_ad(1, "3", "r3")}});
  load(table, march("a", 1, 7), {ad(1, "1", 12), ad(4, "1")}, {.run = "run2", .lane = "backfill"});
  REQUIRE(raws().size() == 2);  // of another slice: nobody replaced them
  CHECK(told(again(table, march("a", 1), {{"r2", ad(1, "2")}})) == "0 loaded, 2 skipped, 0 refused");
  CHECK(impressions() == "1|10 1|12");
  CHECK(raws().empty());
}

TEST_CASE_METHOD(Replaying, "any sink: of a window that was loaded again in parts the other days' rows are loaded") {
  const auto table = GENERATE(insights(), events_by_day());
  prepare(table);
  load(table, march("a", 1, 3), {ad(1, "1")},
       {.rejects = {bad_ad(1, "2", "r1"), bad_ad(2, "2", "r2"), bad_ad(3, "2", "r3")}});
  load(table, march("a", 2), {ad(2, "1", 12)}, {.run = "run2", .lane = "backfill"});
  const std::map<std::string, GivenRow> fitting{{"r1", ad(1, "2", 21)}, {"r2", ad(2, "2", 22)}};
  CHECK(told(again(table, march("a", 1, 3), fitting)) == "1 loaded, 1 skipped, 1 refused");
  CHECK(impressions() == "1|10 1|12 2|21");
  CHECK(raws() == Rows{"r3"});
}

TEST_CASE_METHOD(Replaying, "any sink: equal rows without a key are each loaded, and once") {
  const auto table = events_by_day();
  prepare(table);
  load(table, march("a", 1), {ad(1, "1")}, {.rejects = {bad_ad(1, "1", "r"), bad_ad(1, "1", "r")}});
  CHECK(told(again(table, march("a", 1), {{"r", ad(1, "1")}})) == "2 loaded, 0 skipped, 0 refused");
  CHECK(impressions() == "1|10 1|10 1|10");
  const auto next = load(table, march("a", 1), {ad(1, "1"), ad(1, "1"), ad(1, "1")}, {.run = "run2"});
  CHECK(next.outcome == Published::Outcome::published);
  CHECK(impressions() == "1|10 1|10 1|10");
}

TEST_CASE_METHOD(Replaying, "any sink: an object that was loaded since its row went to quarantine is skipped") {
  const auto table = people();
  prepare(table);
  load(table, changes("1", "2"), {person("old", "before"), person("same", "before")});
  load(table, changes("2", "3"), {person("beside", "good")},
       {.run = "run2",
        .rejects = {reject_of({"new"}, "r1"), reject_of({"old"}, "r2"), reject_of({"same"}, "r3"),
                    reject_of({"beside"}, "r4")}});
  load(table, changes("3", "4"), {person("same", "after")}, {.run = "run3"});
  const std::map<std::string, GivenRow> fitting{{"r1", person("new", "quarantined")},
                                                {"r2", person("old", "quarantined")},
                                                {"r3", person("same", "quarantined")},
                                                {"r4", person("beside", "quarantined")}};
  CHECK(told(again(table, changes("2", "3"), fitting, "run2")) == "2 loaded, 2 skipped, 0 refused");
  CHECK(names() == Rows{"beside|good", "new|quarantined", "old|quarantined", "same|after"});
  CHECK(raws().empty());
}

TEST_CASE_METHOD(Replaying, "any sink: of one object's quarantined rows the newest wins, in whatever order they fit") {
  const auto table = people();
  prepare(table);
  load(table, changes("1", "2"), {}, {.run = "run1", .rejects = {reject_of({"x"}, "r1")}});
  load(table, changes("2", "3"), {}, {.run = "run2", .rejects = {reject_of({"x"}, "r2")}});
  const bool older_first = GENERATE(true, false);
  const auto older = [&] { return told(again(table, changes("1", "2"), {{"r1", person("x", "first")}}, "run1")); };
  const auto newer = [&] { return told(again(table, changes("2", "3"), {{"r2", person("x", "second")}}, "run2")); };
  if (older_first) {
    CHECK(older() == "1 loaded, 0 skipped, 0 refused");
    CHECK(newer() == "1 loaded, 0 skipped, 0 refused");
  } else {
    CHECK(newer() == "1 loaded, 0 skipped, 0 refused");
    CHECK(older() == "0 loaded, 1 skipped, 0 refused");
  }
  CHECK(names() == Rows{"x|second"});
}

TEST_CASE_METHOD(Replaying, "any sink: an object that says itself that it is older never replaces a newer one") {
  const auto table = campaigns();
  prepare(table);
  load(table, changes("1", "2"), {person("x", "newer", first_read + 1h)});
  load(table, changes("2", "3"), {}, {.run = "run2", .rejects = {reject_of({"x"}, "r")}});
  CHECK(told(again(table, changes("2", "3"), {{"r", person("x", "older")}}, "run2")) ==
        "0 loaded, 1 skipped, 0 refused");
  CHECK(names() == Rows{"x|newer"});
}

TEST_CASE_METHOD(Replaying, "any sink: a row that still lies outside its slice, or does not fit its column, stays") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {ad(1, "1")}, {.rejects = {bad_ad(1, "2", "r2"), bad_ad(1, "3", "r3")}});
  auto misfit = ad(1, "3");
  misfit[3] = "no number";
  CHECK(told(again(table, march("a", 1), {{"r2", ad(2, "2")}, {"r3", misfit}})) == "0 loaded, 0 skipped, 2 refused");
  CHECK(query("SELECT raw, rule FROM _sluice_quarantine ORDER BY raw") == Rows{"r2|window", "r3|type"});
  CHECK(one("SELECT count(*) FROM _sluice_loads") == "1");
}

TEST_CASE_METHOD(Replaying, "any sink: an answer that nobody could read stays until its window is loaded") {
  const auto table = insights();
  prepare(table);
  const auto kept = [&](const std::string& run, const Slice& slice) {
    const auto loading = open(table, slice, {.run = run});
    Batch batch(table.columns.size());
    batch.rejects.push_back(Reject{"", "expected records", std::string(structure_rule), "{}"});
    subject->run(loading->stage(batch));
    subject->run(loading->set_aside());
  };
  kept("run1", march("a", 1));
  CHECK(told(again(table, march("a", 1), {})) == "0 loaded, 0 skipped, 1 refused");
  CHECK(one("SELECT count(*) FROM _sluice_loads") == "0");
  subject->run(subject->clock().sleep_for(5ms));
  const auto later = subject->clock().now();
  subject->run(subject->clock().sleep_for(5ms));
  load(table, march("a", 1, 7), {ad(1, "1")}, {.run = "run2", .read_started = later});
  CHECK(told(again(table, march("a", 1), {})) == "0 loaded, 1 skipped, 0 refused");
  CHECK(raws().empty());
}

TEST_CASE_METHOD(Replaying, "any sink: rows that left the quarantine meanwhile are not loaded a second time") {
  const auto table = GENERATE(insights(), events_by_day());
  prepare(table);
  load(table, march("a", 1), {ad(1, "1")}, {.rejects = {bad_ad(1, "2", "r2")}});
  QuarantineFilter filter;
  const auto rows = subject->run(sink->quarantined("ads", "stream", filter, 100));
  const std::map<std::string, GivenRow> fitting{{"r2", ad(1, "2")}};
  const auto slow = staged(table, march("a", 1), rows, fitting);
  CHECK(again(table, march("a", 1), fitting).loaded == 1);
  const auto error = error_of([&] { subject->run(slow->replay(rows)); });
  CHECK(error.passing());
  CHECK(impressions() == "1|10 2|10");
}

TEST_CASE_METHOD(Replaying, "any sink: rows of the quarantine are found by what is known of them, and dropped") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {ad(1, "1")}, {.run = "run1", .rejects = {bad_ad(1, "2", "r2"), unreadable_reject("r3")}});
  load(table, march("a", 2), {ad(2, "1")}, {.run = "run2", .rejects = {bad_ad(2, "2", "r4")}});
  const auto found = [&](const QuarantineFilter& filter) {
    std::set<std::string> raws;
    for (const auto& row : subject->run(sink->quarantined("ads", "stream", filter, 100))) raws.insert(row.raw);
    return raws;
  };
  using Raws = std::set<std::string>;
  CHECK(found({}) == Raws{"r2", "r3", "r4"});
  CHECK(found({.rule = "required"}) == Raws{"r3"});
  CHECK(found({.slice = "a/2026-03-02"}) == Raws{"r4"});
  CHECK(found({.run = "run1"}) == Raws{"r2", "r3"});
  CHECK(found({.since = subject->clock().now() - 1h}) == Raws{"r2", "r3", "r4"});
  CHECK(found({.since = subject->clock().now() + 1h}).empty());
  const auto id = subject->run(sink->quarantined("ads", "stream", {.rule = "required"}, 1)).at(0).id;
  CHECK(found({.id = id}) == Raws{"r3"});

  const auto reads = subject->run(sink->quarantined_reads("ads", "stream", {}));
  REQUIRE(reads.size() == 2);
  CHECK(reads[0].slice == "a/2026-03-02");
  CHECK(reads[0].run == "run2");
  CHECK(reads[0].started == first_read + 2s);
  CHECK(reads[1].started == first_read + 1s);

  CHECK(subject->run(sink->drop_quarantined("ads", "other", {})) == 0);
  CHECK(subject->run(sink->drop_quarantined("ads", "stream", {.run = "run1"})) == 2);
  CHECK(raws() == Rows{"r4"});
}
