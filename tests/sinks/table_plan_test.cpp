#include "sinks/table_plan.hpp"

#include <catch2/catch.hpp>

#include "core/error.hpp"

using namespace sluice;

namespace {

Table orders() {
  Table table;
  table.name = "orders";
  table.columns.emplace_back("id", Type::int64, 0);
  table.columns.emplace_back("amount", DataType(Type::decimal, 10, 2), 1, "in euros");
  table.columns.emplace_back("made_on", Type::date, 2);
  table.key = {"id", "made_on"};
  return table;
}

ExistingTable as_made(const Table& table) {
  ExistingTable existing;
  for (const auto& column : table.columns)
    existing.columns.emplace_back(column.name, column.type, to_string(column.type));
  for (const auto& own : own_columns()) existing.columns.emplace_back(std::string(own.name), own.type, "own");
  existing.key = table.key;
  return existing;
}

template <typename Action>
Action only(const std::vector<TableAction>& actions) {
  REQUIRE(actions.size() == 1);
  return std::get<Action>(actions[0]);
}

}  // namespace

TEST_CASE("identifiers are lower-case letters, digits and underscores, at most 63 of them") {
  CHECK(is_identifier("campaign_id"));
  CHECK(is_identifier("_sluice_run"));
  CHECK(is_identifier(std::string(63, 'a')));
  for (const auto* bad : {"", "1a", "Campaign", "a-b", "a\"b", "a b", "caf\xc3\xa9"}) CHECK_FALSE(is_identifier(bad));
  CHECK_FALSE(is_identifier(std::string(64, 'a')));
  CHECK(quoted_name("order") == "\"order\"");
  CHECK_THROWS_AS(quoted_name("x\"; drop table t"), Error);
  const std::vector<std::string> names{"a", "b"};
  CHECK(quoted_list(names, "t.") == "t.\"a\", t.\"b\"");
}

TEST_CASE("long names are cut and stay distinct") {
  const std::vector<std::string> one{std::string(60, 'c') + "1"}, two{std::string(60, 'c') + "2"};
  CHECK(index_name("t", one).size() <= 63);
  CHECK(index_name("t", one) != index_name("t", two));
  CHECK(is_identifier(index_name("t", one)));
  CHECK(fitted_name("events", "_2026_03") == "events_2026_03");
}

TEST_CASE("a table that does not exist is created, with its indexes") {
  auto table = orders();
  table.indexes = {{"made_on"}};
  const auto actions = plan_table(table, std::nullopt);
  REQUIRE(actions.size() == 2);
  CHECK(std::holds_alternative<CreateTable>(actions[0]));
  CHECK(std::get<AddIndex>(actions[1]).name == "orders_made_on_idx");
}

TEST_CASE("a table that fits needs nothing, and columns that the stream lost stay") {
  auto table = orders();
  auto existing = as_made(table);
  existing.columns.emplace_back("old", DataType(Type::text), "text");
  CHECK(plan_table(table, existing).empty());
}

TEST_CASE("an append table is indexed by slice, once") {
  auto table = orders();
  table.key.clear();
  table.mode = LoadMode::append;
  auto existing = as_made(table);
  CHECK(only<AddIndex>(plan_table(table, existing)).columns == std::vector<std::string>{"_sluice_slice"});
  existing.indexes.push_back("orders__sluice_slice_idx");
  CHECK(plan_table(table, existing).empty());
}

TEST_CASE("new columns are added, sluice's own too") {
  auto table = orders();
  auto existing = as_made(table);
  table.columns.emplace_back("note", Type::text, 3, "a note");
  const auto added = only<AddColumn>(plan_table(table, existing));
  CHECK(added.name == "note");
  CHECK(added.comment == "a note");
  existing.columns.erase(existing.columns.end() - 1);
  const auto actions = plan_table(table, existing);
  REQUIRE(actions.size() == 2);
  CHECK(std::get<AddColumn>(actions[1]).name == "_sluice_loaded_at");
}

TEST_CASE("a changed key is refused with the advice to name a new table") {
  auto table = orders();
  const auto existing = as_made(table);
  table.key = {"id"};
  CHECK_THROWS_WITH(plan_table(table, existing), Catch::Contains("(id, made_on)") && Catch::Contains("`table:`"));
}

TEST_CASE("the column of a window's days stays a date") {
  auto table = orders();
  table.cursor = Cursor::date;
  table.cursor_column = "made_on";
  CHECK_NOTHROW(plan_table(table, std::nullopt));
  table.columns[2].type = GENERATE(Type::text, Type::timestamp);
  CHECK_THROWS_WITH(plan_table(table, std::nullopt), Catch::Contains("made_on") && Catch::Contains("remove its cast"));
}

TEST_CASE("types widen int64 to decimal to text and float64 to text, never through a double") {
  const DataType money(Type::decimal, 10, 2);
  CHECK(widened(Type::int64, Type::decimal) == DataType(Type::decimal));
  CHECK(widened(Type::int64, money) == DataType(Type::decimal, 21, 2));
  CHECK(widened(money, DataType(Type::decimal, 10, 4)) == DataType(Type::decimal, 12, 4));
  CHECK(widened(money, Type::decimal) == DataType(Type::decimal));
  CHECK(widened(money, Type::text) == DataType(Type::text));
  CHECK(widened(Type::int64, Type::text) == DataType(Type::text));
  CHECK(widened(Type::float64, Type::text) == DataType(Type::text));
  CHECK(widened(Type::float64, money) == DataType(Type::text));
  CHECK(widened(Type::decimal, Type::float64) == DataType(Type::text));
  CHECK(widened(Type::decimal, Type::int64) == DataType(Type::decimal));
  CHECK(widened(Type::date, Type::text) == std::nullopt);
  CHECK(widened(Type::json, Type::text) == std::nullopt);
  CHECK(widened(Type::boolean, Type::int64) == std::nullopt);
  CHECK(widened(Type::text, Type::json) == DataType(Type::text));
}

TEST_CASE("a column that is too narrow is widened") {
  auto table = orders();
  const auto existing = as_made(table);
  table.columns[1].type = DataType(Type::decimal, 20, 2);
  const auto widen = only<WidenColumn>(plan_table(table, existing));
  CHECK(widen.name == "amount");
  CHECK(widen.to == DataType(Type::decimal, 20, 2));
}

TEST_CASE("what cannot be widened is refused, by type, by configuration, or as part of the key") {
  auto table = orders();
  auto existing = as_made(table);
  SECTION("types that do not join") {
    table.columns[1].type = Type::json;
    CHECK_THAT(only<RefuseColumn>(plan_table(table, existing)).why, Catch::Contains("amount is decimal(10,2)"));
  }
  SECTION("a native type that sluice does not write") {
    existing.columns[1] = ExistingTable::Field("amount", std::nullopt, "point");
    CHECK_THAT(only<RefuseColumn>(plan_table(table, existing)).why, Catch::Contains("amount is point"));
  }
  SECTION("types: fail") {
    table.columns[1].type = Type::text;
    table.type_changes = TypeChanges::fail;
    CHECK_THAT(only<RefuseColumn>(plan_table(table, existing)).why, Catch::Contains("types: widen"));
  }
  SECTION("a key column") {
    table.columns[0].type = Type::text;
    CHECK_THAT(only<RefuseColumn>(plan_table(table, existing)).why, Catch::Contains("new table"));
  }
}

TEST_CASE("names and references that cannot work are refused before anything is touched") {
  auto table = orders();
  SECTION("a column name") {
    table.columns.emplace_back("Spend USD", Type::text, 3);
    CHECK_THROWS_WITH(plan_table(table, std::nullopt), Catch::Contains("\"Spend USD\""));
  }
  SECTION("two columns of one name") {
    table.columns.emplace_back("id", Type::text, 3);
    CHECK_THROWS_WITH(plan_table(table, std::nullopt), Catch::Contains("two columns are called id"));
  }
  SECTION("sluice's own names") {
    table.columns.emplace_back("_sluice_run", Type::text, 3);
    CHECK_THROWS_AS(plan_table(table, std::nullopt), Error);
    table = orders();
    table.name = "_sluice_loads";
    CHECK_THROWS_AS(plan_table(table, std::nullopt), Error);
  }
  SECTION("an index on a column that is not there") {
    table.indexes = {{"nope"}};
    CHECK_THROWS_WITH(plan_table(table, std::nullopt), Catch::Contains("load.indexes"));
  }
  SECTION("a partition column outside the key") {
    table.key = {"id"};
    table.partition_by = PartitionBy{PartitionBy::Unit::month, "made_on"};
    CHECK_THROWS_WITH(plan_table(table, std::nullopt), Catch::Contains("not part of the key"));
  }
  SECTION("a partition column that is no date") {
    table.partition_by = PartitionBy{PartitionBy::Unit::month, "amount"};
    CHECK_THROWS_WITH(plan_table(table, std::nullopt), Catch::Contains("date or timestamp"));
  }
}
