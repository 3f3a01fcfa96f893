#include <catch2/catch.hpp>

#include "tests/sinks/conformance.hpp"

using namespace sluice;
using namespace sluice::conformance;
using namespace std::chrono_literals;
using Ends = Published::Outcome;

namespace {

const Instant noon = *parse_instant("2026-03-02T12:00:00Z");
const std::string by_id = "SELECT id, name FROM campaigns ORDER BY 1";

Slice changed(const std::string& after, const std::string& upto) {
  return Slice::values(Partition(""), after, upto);
}
Slice part(const std::string& account) {
  return Slice::whole(Partition(account));
}

}  // namespace

TEST_CASE_METHOD(Conformance, "any sink: objects never disappear by absence") {
  prepare(campaigns());
  load(campaigns(), changed("0", "1"), {{"1", "one", noon}, {"2", "two", noon}});
  const auto done = load(campaigns(), changed("1", "2"), {{"2", "two!", noon + 1h}, {"3", "three", noon + 1h}});
  CHECK(done.counts.updated == 1);
  CHECK(done.counts.inserted == 1);
  CHECK(done.counts.deleted == 0);
  CHECK(query(by_id) == Rows{"1|one", "2|two!", "3|three"});
  CHECK(load(campaigns(), changed("2", "3"), {}).outcome == Ends::published);
  CHECK(one("SELECT count(*) FROM campaigns") == "3");
}

TEST_CASE_METHOD(Conformance, "any sink: of an object that comes twice the newest is kept, whichever comes first") {
  prepare(campaigns());
  const auto done = load(campaigns(), changed("0", "1"),
                         {{"1", "new", noon + 1h},
                          {"1", "old", noon},
                          {"2", "old", noon},
                          {"2", "new", noon + 1h},
                          {"3", "same", noon},
                          {"3", "same", noon}});
  CHECK(done.outcome == Ends::published);
  CHECK(done.counts.inserted == 3);
  CHECK(done.counts.duplicate == 3);
  CHECK(query(by_id) == Rows{"1|new", "2|new", "3|same"});
}

TEST_CASE_METHOD(Conformance, "any sink: an older object never overwrites a newer one") {
  prepare(campaigns());
  load(campaigns(), changed("1", "2"), {{"1", "new", noon}, {"2", "new", noon}, {"3", "undated", nullptr}},
       {.run = "r1"});
  const auto done = load(campaigns(), changed("0", "1"),
                         {{"1", "old", noon - 1h}, {"2", "newer", noon + 1h}, {"3", "dated", noon}}, {.run = "r2"});
  CHECK(done.counts.updated == 2);
  CHECK(done.counts.unchanged == 1);
  CHECK(query(by_id) == Rows{"1|new", "2|newer", "3|dated"});
  CHECK(one("SELECT _sluice_run FROM campaigns WHERE id = '1'") == "r1");
}

TEST_CASE_METHOD(Conformance, "any sink: an object of the same age that differs is taken") {
  prepare(campaigns());
  load(campaigns(), changed("0", "1"), {{"1", "before", noon}});
  CHECK(load(campaigns(), changed("0", "2"), {{"1", "after", noon}}).counts.updated == 1);
  CHECK(query(by_id) == Rows{"1|after"});
}

TEST_CASE_METHOD(Conformance, "any sink: appended rows are kept, and a slice that runs again replaces its own") {
  const auto table = notes(LoadMode::append);
  prepare(table);
  load(table, Slice::values(Partition("a"), {}, "1"), {{"a", "x", 1}, {"a", "x", 1}}, {.run = "r1"});
  load(table, Slice::values(Partition("a"), "1", "2"), {{"a", "y", 2}});
  load(table, Slice::values(Partition("b"), {}, "1"), {{"b", "z", 3}});
  CHECK(query("SELECT account_id, note FROM notes ORDER BY 1, 2") == Rows{"a|x", "a|x", "a|y", "b|z"});
  const auto again =
      load(table, Slice::values(Partition("a"), {}, "1"), {{"a", "x", 1}, {"a", "w", 1}, {"a", "v", 1}}, {.run = "r2"});
  CHECK(again.counts.balanced());
  CHECK(query("SELECT account_id, note FROM notes ORDER BY 1, 2") == Rows{"a|v", "a|w", "a|x", "a|y", "b|z"});
}

TEST_CASE_METHOD(Conformance, "any sink: appended windows of days are replaced as windows") {
  auto table = notes(LoadMode::append);
  table.columns.emplace_back("day", Type::date, 3);
  table.cursor = Cursor::date;
  table.cursor_column = "day";
  prepare(table);
  load(table, march("a", 1, 2), {{"a", "one", 1, day(1)}, {"a", "two", 2, day(2)}});
  load(table, march("b", 1), {{"b", "other", 1, day(1)}});
  load(table, march("a", 2), {{"a", "two again", 2, day(2)}});
  CHECK(query("SELECT note FROM notes ORDER BY 1") == Rows{"one", "other", "two again"});
  CHECK(load(table, march("a", 2), {}).outcome == Ends::confirm_empty);

  // Equal rows are as many as came, however often the window is read; one that does not fit any more is in the
  // quarantine and no longer in the table.
  const std::vector<GivenRow> thrice(3, {"a", "same", 1, day(3)});
  for (int i = 0; i < 2; ++i) {
    load(table, march("a", 3), thrice);
    CHECK(one("SELECT count(*) FROM notes WHERE note = 'same'") == "3");
  }
  const std::vector<GivenRow> twice(2, {"a", "same", 1, day(3)});
  const Reject reject{"", "column note: does not fit", "type", "{}"};
  CHECK(load(table, march("a", 3), twice, {.rejects = {reject}}).counts.balanced());
  CHECK(one("SELECT count(*) FROM notes WHERE note = 'same'") == "2");
  CHECK(one("SELECT count(*) FROM _sluice_quarantine") == "1");
}

TEST_CASE_METHOD(Conformance, "any sink: a replaced table holds what the last read gave, per partition") {
  const auto table = notes(LoadMode::replace);
  prepare(table);
  load(table, part("a"), {{"a", "x", 1}, {"a", "y", 2}});
  load(table, part("b"), {{"b", "z", 3}});
  const auto done = load(table, part("a"), {{"a", "y", 2}, {"a", "w", 4}}, {.run = "r2"});
  CHECK(done.counts.balanced());
  CHECK(query("SELECT account_id, note FROM notes ORDER BY 1, 2") == Rows{"a|w", "a|y", "b|z"});
  // A source that fails in silence must not empty the table.
  CHECK(load(table, part("a"), {}).outcome == Ends::confirm_empty);
  CHECK(one("SELECT count(*) FROM notes") == "3");
  CHECK(load(table, part("a"), {}, {.believe_empty = true}).counts.deleted == 2);
  CHECK(query("SELECT note FROM notes") == Rows{"z"});
}

TEST_CASE_METHOD(Conformance, "any sink: a replaced table without partitions is replaced as a whole") {
  auto table = notes(LoadMode::replace);
  table.partition_column.clear();
  prepare(table);
  load(table, part(""), {{"a", "x", 1}, {"b", "y", 2}});
  load(table, part(""), {{"c", "z", 3}});
  CHECK(query("SELECT account_id FROM notes") == Rows{"c"});
}
