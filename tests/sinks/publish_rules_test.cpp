#include "sinks/publish_rules.hpp"

#include <catch2/catch.hpp>

#include "core/error.hpp"

using namespace sluice;

namespace {

Slice march(int from, int to) {
  return Slice::days(Partition("act_1"), Day(2026, 3, from), Day(2026, 3, to));
}
const LaneId lane("ads", "insights", "act_1", "live");

std::vector<Reject> rejects(std::size_t count) {
  std::vector<Reject> made;
  for (std::size_t i = 0; i < count; ++i)
    made.push_back(Reject{"", i % 3 ? "spend is text" : "id is missing", "type", "{}"});
  return made;
}

}  // namespace

TEST_CASE("a later read of the same or a wider window supersedes; of a part of it, asks for another read") {
  using Windows = std::vector<std::string>;
  CHECK(overtaken(march(1, 2), Windows{}) == Overtaken::no);
  CHECK(overtaken(march(1, 2), Windows{"2026-03-01"}) == Overtaken::wholly);
  CHECK(overtaken(march(2, 4), Windows{"2026-03-01..2026-03-07"}) == Overtaken::wholly);
  CHECK(overtaken(march(1, 8), Windows{"2026-03-02"}) == Overtaken::partly);
  CHECK(overtaken(march(1, 3), Windows{"2026-03-03", "2026-02-28"}) == Overtaken::no);
  CHECK(overtaken(Slice::whole(Partition("")), Windows{"all"}) == Overtaken::wholly);
  CHECK(overtaken(Slice::values(Partition(""), "1", "2"), Windows{"(2, 3]"}) == Overtaken::no);
}

TEST_CASE("the same rejected row keeps its id, equal rows of one slice differ") {
  const Reject bad{"[\"1\"]", "spend", "type", "{\"spend\":\"x\"}"};
  const std::vector<Reject> twice{bad, bad};
  const auto ids = quarantine_ids(lane, march(1, 2), twice);
  CHECK(ids == quarantine_ids(lane, march(1, 2), twice));
  CHECK(ids[0] != ids[1]);
  CHECK(ids[0] != quarantine_id(lane, march(2, 3), bad, 0));
  CHECK(ids[0].size() == 32);
}

TEST_CASE("a rejected row's key is readable only when every part is there, and has one text") {
  const auto readable = [](const std::string& key, std::initializer_list<Type> types,
                           const std::string& rule = "type") {
    Table table;
    for (const auto type : types) {
      const auto at = table.columns.size();
      table.key.push_back("k" + std::to_string(at));
      table.columns.emplace_back(table.key.back(), type, at);
    }
    return readable_key(Reject{key, "", rule, ""}, table);
  };
  using Parts = std::vector<std::string>;
  CHECK(readable(R"(["act_1", 5, "2026-03-01"])", {Type::text, Type::int64, Type::date}) ==
        Parts{"act_1", "5", "2026-03-01"});
  CHECK(readable(R"(["act_1", ""])", {Type::text, Type::text}) == Parts{"act_1", ""});
  CHECK(readable(R"(["act_1", ""])", {Type::text, Type::date}).empty());
  CHECK(readable(R"(["act_1", "1"])", {Type::text, Type::boolean}).empty());
  CHECK(readable(R"(["act_1", "x"])", {Type::text, Type::text}, "window").empty());
  for (const auto* bad : {"", "[]", "[1]", "[1,null]", "[1,{}]", "not json"})
    CHECK(readable(bad, {Type::text, Type::text}).empty());
  CHECK(readable(R"(["a\"b", ""])", {Type::text, Type::text}) == Parts{"a\"b", ""});
}

TEST_CASE("a slice fails with more than ten rejected rows that are more than a tenth of it, naming the usual reason") {
  Table table;
  table.name = "insights";
  CHECK_NOTHROW(check_reject_share(table, march(1, 2), 10, rejects(10)));
  CHECK_NOTHROW(check_reject_share(table, march(1, 2), 110, rejects(11)));
  CHECK_THROWS_WITH(check_reject_share(table, march(1, 2), 109, rejects(11)),
                    Catch::Contains("11 of 109") && Catch::Contains("(7 times): spend is text"));
}

TEST_CASE("rows that do not fit are kept until they are more than memory should hold") {
  Table table;
  const auto slice = march(1, 2);
  Rejects rejects(table, slice);
  Reject reject;
  reject.reason = "column n: not a number";
  reject.raw = std::string(100'000, 'x');
  for (int i = 0; i < 80; ++i) rejects.add(reject);
  CHECK(rejects.all().size() == 80);
  const auto more = [&] {
    for (int i = 0; i < 10; ++i) rejects.add(reject);
  };
  CHECK_THROWS_WITH(more(), Catch::Contains("more than 83 rows do not fit") && Catch::Contains("(84 times)") &&
                                Catch::Contains("column n: not a number"));
}

TEST_CASE("counts that do not add up fail the slice") {
  Table table;
  Counts counts;
  counts.read = 6;
  counts.inserted = counts.updated = counts.unchanged = counts.duplicate = counts.quarantined = counts.filtered = 1;
  CHECK_NOTHROW(check_balance(table, march(1, 2), counts));
  counts.read = 7;
  CHECK_THROWS_AS(check_balance(table, march(1, 2), counts), Error);
  counts.read = 5;
  counts.unchanged = -1;
  counts.inserted = 2;
  CHECK_THROWS_AS(check_balance(table, march(1, 2), counts), Error);
}

TEST_CASE("a slice stands for its window, its own rows, its partition, or for nothing but the rows it brings") {
  Table table;
  table.cursor = Cursor::value;
  CHECK(scope_of(table) == Scope::none);
  table.mode = LoadMode::append;
  CHECK(scope_of(table) == Scope::slice);
  table.cursor = Cursor::date;
  CHECK(scope_of(table) == Scope::window);
  table.mode = LoadMode::merge;
  CHECK(scope_of(table) == Scope::window);
  table.mode = LoadMode::replace;
  CHECK(scope_of(table) == Scope::partition);
}
