#include <catch2/catch.hpp>

#include "tests/sinks/conformance.hpp"

using namespace sluice;
using namespace sluice::conformance;
using Changes = std::map<std::string, std::string>;

namespace {

Table retyped(Table table, const std::string& column, DataType type) {
  for (auto& c : table.columns)
    if (c.name == column) c.type = type;
  return table;
}

GivenRow row(const std::string& ad, Given impressions) {
  return {"a", day(1), ad, std::move(impressions), "1.5", "x"};
}

bool mentions(const std::vector<std::string>& statements, const std::string& text) {
  return std::any_of(statements.begin(), statements.end(), [&](auto& s) { return s.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE_METHOD(Conformance, "any sink: plan shows what would be made and makes nothing") {
  const auto before = subject->tables();
  const auto statements = subject->run(sink->plan(insights()));
  CHECK(mentions(statements, "CREATE TABLE"));
  CHECK(mentions(statements, "insights"));
  CHECK(mentions(statements, "_sluice_progress"));
  CHECK(subject->tables() == before);

  prepare(insights());
  CHECK(subject->run(sink->plan(insights())).empty());
  auto wider = insights();
  wider.columns.emplace_back("clicks", Type::int64, 6);
  const auto addition = subject->run(sink->plan(wider));
  REQUIRE_FALSE(addition.empty());
  CHECK(mentions(addition, "clicks"));
  CHECK_THROWS(query("SELECT clicks FROM insights"));
}

TEST_CASE_METHOD(Conformance,
                 "any sink: a table is made with its columns, sluice's own, and the bookkeeping beside it") {
  CHECK(subject->run(sink->prepare(insights())).empty());
  CHECK(query("SELECT account_id, date_start, ad_id, impressions, spend, name, _sluice_run, _sluice_slice, "
              "_sluice_loaded_at FROM insights")
            .empty());
  for (const auto* table : {"insights", "_sluice_progress", "_sluice_loads", "_sluice_quarantine"}) {
    const auto tables = subject->tables();
    CHECK(std::find(tables.begin(), tables.end(), table) != tables.end());
  }
  CHECK(subject->run(sink->prepare(insights())).empty());
}

TEST_CASE_METHOD(Conformance, "any sink: tables and columns carry their comments") {
  auto table = insights();
  table.comment = "what the ads did";
  table.columns[4].comment = "it's what was paid */ -- \"in full\"";
  prepare(table);
  CHECK_THAT(subject->comment("insights", ""), Catch::Contains("what the ads did"));
  CHECK_THAT(subject->comment("insights", "spend"), Catch::Contains("it's what was paid"));
  CHECK_THAT(subject->comment("insights", "_sluice_run"), Catch::Contains("run"));
}

TEST_CASE_METHOD(Conformance, "any sink: a new column is added, and filled from then on") {
  prepare(insights());
  load(insights(), march("a", 1), {row("1", 5)});
  auto wider = insights();
  wider.columns.emplace_back("clicks", Type::int64, 6, "how often");
  CHECK(subject->run(sink->prepare(wider)) == Changes{{"clicks", "column_added"}});
  CHECK(query("SELECT ad_id, clicks FROM insights") == Rows{"1|~"});
  load(wider, march("a", 1), {{"a", day(1), "1", 5, "1.5", "x", 9}});
  CHECK(query("SELECT ad_id, clicks FROM insights") == Rows{"1|9"});
  CHECK(subject->run(sink->prepare(wider)).empty());
}

TEST_CASE_METHOD(Conformance,
                 "any sink: a column that is no longer selected keeps its values and is no longer written") {
  prepare(insights());
  load(insights(), march("a", 1), {row("1", 5), row("gone", 5)});
  auto narrower = insights();
  narrower.columns.pop_back();
  CHECK(subject->run(sink->prepare(narrower)).empty());
  load(narrower, march("a", 1), {{"a", day(1), "1", 6, "1.5"}, {"a", day(1), "2", 7, "1.5"}});
  CHECK(query("SELECT ad_id, impressions, name FROM insights ORDER BY 1") == Rows{"1|6|x", "2|7|~"});
}

TEST_CASE_METHOD(Conformance, "any sink: whole numbers widen to decimals and decimals to text, and no digit is lost") {
  prepare(insights());
  const std::int64_t large = 9007199254740993;
  load(insights(), march("a", 1), {row("1", large), row("2", nullptr)});
  const auto decimals = retyped(insights(), "impressions", Type::decimal);
  CHECK(subject->run(sink->prepare(decimals)) == Changes{{"impressions", "widened"}});
  CHECK(query("SELECT ad_id, impressions FROM insights ORDER BY 1") == Rows{"1|9007199254740993", "2|~"});
  CHECK(load(decimals, march("a", 1), {row("1", "9007199254740993"), row("2", "0.5")}).counts.unchanged == 1);
  const auto texts = retyped(insights(), "impressions", Type::text);
  prepare(texts);
  const auto done = load(texts, march("a", 1), {row("1", "9007199254740993"), row("2", "many")});
  CHECK(done.counts.unchanged == 1);
  CHECK(query("SELECT ad_id, impressions FROM insights ORDER BY 1") == Rows{"1|9007199254740993", "2|many"});
  CHECK(subject->run(sink->prepare(texts)).empty());
}

TEST_CASE_METHOD(Conformance, "any sink: floating point numbers widen to text, never through it to money") {
  const auto floats = retyped(insights(), "impressions", Type::float64);
  prepare(floats);
  load(floats, march("a", 1), {row("1", 0.5), row("2", 0.1 + 0.2), row("3", 7.0)});
  const auto texts = retyped(insights(), "impressions", Type::text);
  CHECK(subject->run(sink->prepare(texts)) == Changes{{"impressions", "widened"}});
  CHECK(query("SELECT impressions FROM insights ORDER BY ad_id") == Rows{"0.5", "0.30000000000000004", "7"});
}

TEST_CASE_METHOD(Conformance, "any sink: a widened column keeps its index and its neighbours") {
  auto table = insights();
  table.indexes = {{"impressions", "date_start"}};
  prepare(table);
  load(table, march("a", 1), {row("1", 5)});
  const auto wider = retyped(table, "impressions", Type::decimal);
  CHECK(subject->run(sink->prepare(wider)) == Changes{{"impressions", "widened"}});
  CHECK(subject->run(sink->plan(wider)).empty());
  CHECK(query("SELECT ad_id, impressions, spend, name FROM insights") == Rows{"1|5|1.5|x"});
}

TEST_CASE_METHOD(Conformance, "any sink: a table is never narrowed") {
  const auto texts = retyped(insights(), "impressions", Type::text);
  prepare(texts);
  load(texts, march("a", 1), {row("1", "many")});
  CHECK(subject->run(sink->prepare(insights())).empty());
  load(insights(), march("a", 2), {{"a", day(2), "2", 12, "1.5", "x"}});
  CHECK(query("SELECT impressions FROM insights ORDER BY ad_id") == Rows{"many", "12"});
}

TEST_CASE_METHOD(
    Conformance,
    "any sink: a change that is not allowed is refused with a message; rows that do not fit are set aside") {
  prepare(insights());
  load(insights(), march("a", 1), {row("1", 5)});
  auto strict = retyped(insights(), "impressions", Type::text);
  strict.type_changes = TypeChanges::fail;
  CHECK(subject->run(sink->prepare(strict)) == Changes{{"impressions", "refused"}});
  const auto notices = events.of<Notice>();
  REQUIRE(notices.size() == 1);
  CHECK_THAT(notices[0].message, Catch::Contains("insights") && Catch::Contains("impressions"));
  const auto done = load(strict, march("a", 2), {{"a", day(2), "1", "many", "1.5", "x"}});
  CHECK(done.counts.quarantined == 1);
  CHECK_THAT(one("SELECT reason FROM _sluice_quarantine"), Catch::Contains("column impressions"));
  CHECK(query("SELECT impressions FROM insights") == Rows{"5"});
}

TEST_CASE_METHOD(Conformance, "any sink: types that nothing joins are refused") {
  prepare(insights());
  CHECK(subject->run(sink->prepare(retyped(insights(), "impressions", Type::date))) ==
        Changes{{"impressions", "refused"}});
  const auto done =
      load(retyped(insights(), "impressions", Type::date), march("a", 1), {row("1", day(1)), row("2", nullptr)});
  CHECK(done.counts.quarantined == 1);
  CHECK(done.counts.inserted == 1);
}

TEST_CASE_METHOD(Conformance, "any sink: a changed key is refused with the advice to name a new table") {
  prepare(insights());
  auto other = insights();
  other.columns.emplace_back("country", Type::text, 6);
  other.key.push_back("country");
  const auto error = error_of([&] { prepare(other); });
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("insights") && Catch::Contains("country") && Catch::Contains("`table:`"));
  CHECK_THROWS(query("SELECT country FROM insights"));
  other.name = "insights_by_country";
  CHECK_NOTHROW(prepare(other));
}

TEST_CASE_METHOD(Conformance, "any sink: a name that is no name for a database is refused before anything is made") {
  auto table = insights();
  table.name = "a\"; DROP TABLE x; --";
  const auto before = subject->tables();
  CHECK(error_of([&] { prepare(table); }).remedy() == Remedy::give_up);
  CHECK(subject->tables() == before);
}

TEST_CASE_METHOD(Conformance, "any sink: indexes are made once, and added to a table that is there") {
  auto table = insights();
  prepare(table);
  table.indexes = {{"impressions"}, {"name", "date_start"}};
  CHECK(subject->run(sink->plan(table)).size() == 2);
  prepare(table);
  CHECK(subject->run(sink->plan(table)).empty());
}
