#include "core/row_mapper.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/error.hpp"

using namespace sluice;

namespace {

const std::vector<Column> columns{Column("id", Type::text), Column("n", Type::int64), Column("money", Type::decimal),
                                  Column("list", Type::json), Column("inner_id", Type::text, "inner/id")};

RowMapper mapper_of(std::vector<Column> cols, std::vector<std::string> key, NewFields fields) {
  StreamSpec stream;
  stream.columns = std::move(cols);
  stream.key = std::move(key);
  stream.new_fields = fields;
  return RowMapper(stream);
}

Batch map(const std::string& row, const std::vector<Column>& cols = columns, NewFields fields = NewFields::ignore) {
  auto mapper = mapper_of(cols, {cols[0].name}, fields);
  return mapper.map("{\"data\":[" + row + "],\"paging\":{}}", "data").batch;
}

// One value under the name "v" of the given type, as text; "null", "absent", or "reject: reason".
std::string value(const std::string& json, DataType type) {
  const auto batch = map("{\"id\":\"1\"" + (json.empty() ? "" : ",\"v\":" + json) + "}",
                         {Column("id", Type::text), Column("v", type)});
  if (!batch.rejects.empty()) return "reject: " + batch.rejects[0].reason;
  const auto& cell = batch.row(0)[1];
  switch (cell.kind) {
    case Kind::null:
      return "null";
    case Kind::absent:
      return "absent";
    case Kind::int64:
      return std::to_string(cell.integer);
    case Kind::float64:
      return nlohmann::json(cell.real).dump();
    case Kind::text:
      return std::string(batch.text(cell));
  }
  return {};
}

bool rejected(const std::string& json, DataType type) {
  return value(json, type).starts_with("reject: ");
}

std::string text(const Batch& batch, std::size_t row, std::size_t column) {
  return std::string(batch.text(batch.row(row)[column]));
}

}  // namespace

TEST_CASE("numbers in strings go to int64 and decimal columns exactly") {
  CHECK(value(R"("185")", Type::int64) == "185");
  CHECK(value("185", Type::int64) == "185");
  CHECK(value(R"("9007199254740993")", Type::int64) == "9007199254740993");
  CHECK(value("-9223372036854775808", Type::int64) == "-9223372036854775808");
  CHECK(value("600.0", Type::int64) == "600");
  CHECK(value(R"("14.35")", Type::decimal) == "14.35");
  CHECK(value("14.350", Type::decimal) == "14.35");
  CHECK(value("0.1234567890123456789012345678901234567890123456789", Type::decimal) ==
        "0.1234567890123456789012345678901234567890123456789");
  CHECK(value("1.5e3", Type::decimal) == "1500");
  CHECK(value(R"("19.996")", DataType(Type::decimal, 6, 2)) == "20");
}

TEST_CASE("ids beyond 2^53 keep every digit as text") {
  CHECK(value("120208325579370399", Type::text) == "120208325579370399");
  CHECK(value("123456789012345678901234567890", Type::text) == "123456789012345678901234567890");
}

TEST_CASE("numbers that no column can hold reject the row") {
  for (const auto* bad :
       {"9223372036854775808", "1.5", R"("12a")", R"("")", "1e400", R"("1,234")", "true", "{}", R"("NaN")"}) {
    INFO(bad);
    CHECK(rejected(bad, Type::int64));
  }
  for (const auto* bad : {"1e400", R"("nan")", R"("1,234.5")", R"("inf")", "01", "+1", "1.", "--1"}) {
    INFO(bad);
    CHECK(rejected(bad, Type::decimal));
  }
  CHECK(rejected("1e400", Type::float64));
  CHECK(rejected(R"("12345.6")", DataType(Type::decimal, 6, 2)));
  CHECK(value(R"("abc")", Type::int64) == "reject: column \"v\": found \"abc\", expected int64");
}

TEST_CASE("a text that says of a floating number or an amount that there is none is NULL") {
  for (const auto* none : {R"("NaN")", R"("Infinity")", R"("-Infinity")"})
    for (const auto type : {Type::float64, Type::decimal}) CHECK(value(none, type) == "null");
  CHECK(value(R"("NaN")", Type::text) == "NaN");
}

TEST_CASE("null and absent are told apart") {
  for (const auto type : {Type::text, Type::int64, Type::decimal, Type::json, Type::timestamp}) {
    CHECK(value("null", type) == "null");
    CHECK(value("", type) == "absent");
  }
}

TEST_CASE("booleans, dates, times and timestamps are read as the sources write them") {
  CHECK(value("true", Type::boolean) == "1");
  CHECK(value(R"("false")", Type::boolean) == "0");
  CHECK(rejected(R"("maybe")", Type::boolean));
  CHECK(value(R"("1970-01-02")", Type::date) == "1");
  CHECK(rejected(R"("2023-02-29")", Type::date));
  CHECK(value(R"("1970-01-01T01:00:01+0100")", Type::timestamp) == "1000000");
  CHECK(value(R"("1969-12-31T17:00:00-0700")", Type::timestamp) == "0");
  CHECK(rejected(R"("1970-01-01T00:00:00")", Type::timestamp));
  CHECK(value(R"("00:00:01.5")", Type::time) == "1500000");
  CHECK(value("2.5", Type::float64) == "2.5");
  CHECK(value(R"("5F3E2A1B00004000800000000000000A")", Type::uuid) == "5f3e2a1b-0000-4000-8000-00000000000a");
  CHECK(rejected(R"("5f3e")", Type::uuid));
}

TEST_CASE("nested values keep their own text, and only valid JSON gets into a json column") {
  CHECK(value(R"([{"action.type": ["a", 1.50, null, true]} , {}])", Type::json) ==
        R"([{"action.type": ["a", 1.50, null, true]} , {}])");
  CHECK(value(R"("x")", Type::json) == R"("x")");
  CHECK(value("12345678901234567890.10", Type::json) == "12345678901234567890.10");
  for (const auto* bad : {"[01]", "[nul]", R"({"a":1e99999})", R"(["\q"])", "tru"}) {
    INFO(bad);
    CHECK(rejected(bad, Type::json));
  }
  CHECK(rejected("[1]", Type::text));
  CHECK(rejected(std::string(1001, '[') + std::string(1001, ']'), Type::json));
  CHECK_FALSE(rejected(std::string(1000, '[') + std::string(1000, ']'), Type::json));
}

TEST_CASE("a member of a nested object is read by its path") {
  CHECK(text(map(R"({"id":"1","inner":{"x":[1,2],"id":"77"}})"), 0, 4) == "77");
  CHECK(map(R"({"id":"1","inner":null})").row(0)[4].kind == Kind::null);
  CHECK(map(R"({"id":"1","inner":{}})").row(0)[4].kind == Kind::absent);
  const auto batch = map(R"({"id":"1","inner":5})");
  REQUIRE(batch.rejects.size() == 1);
  CHECK(batch.rejects[0].reason == R"("inner": found 5, expected an object)");
}

TEST_CASE("a row that does not fit is rejected with its key, a reason and its JSON; the others go on") {
  const auto batch = map(R"({"id":"1","n":1}, {"n":"x","id":"2"} ,7,[1,"a"],{"id":"3","n":3})");
  REQUIRE(batch.rows() == 2);
  CHECK(text(batch, 1, 0) == "3");
  CHECK(batch.raw(1) == R"({"id":"3","n":3})");
  REQUIRE(batch.rejects.size() == 3);
  CHECK(batch.rejects[0].key == R"(["2"])");
  CHECK(batch.rejects[0].rule == "type");
  CHECK(batch.rejects[0].reason == R"(column "n": found "x", expected int64)");
  CHECK(batch.rejects[0].raw == R"({"n":"x","id":"2"})");
  CHECK(batch.rejects[1].key == "");
  CHECK(batch.rejects[1].rule == "json");
  CHECK(batch.rejects[1].raw == "7");
  CHECK(batch.rejects[2].raw == R"([1,"a"])");
}

TEST_CASE("a missing part of the key is empty text, or rejects a row whose key is of another type") {
  const auto batch = map(R"({"n":1},{"id":null})");
  REQUIRE(batch.rows() == 2);
  CHECK(batch.row(0)[0].kind == Kind::text);
  CHECK(text(batch, 0, 0).empty());
  CHECK(batch.row(1)[0].kind == Kind::text);
  const auto other = map(R"({"v":1})", {Column("day", Type::date), Column("v", Type::int64)});
  REQUIRE(other.rejects.size() == 1);
  CHECK(other.rejects[0].rule == "required");
  CHECK(other.rejects[0].key.empty());
}

TEST_CASE("a required column must be there and not null") {
  const std::vector<Column> cols{Column("id", Type::text), Column("v", Type::text, {}, true)};
  CHECK(map(R"({"id":"1"})", cols).rejects.at(0).reason == R"(column "v": found nothing, expected text)");
  CHECK(map(R"({"id":"1","v":null})", cols).rejects.at(0).reason == R"(column "v": found null, expected text)");
  CHECK(map(R"({"id":"1","v":""})", cols).rejects.empty());
}

TEST_CASE("escapes are resolved, and what no database holds becomes U+FFFD and is counted") {
  const auto check = [](const std::string& json, Type type, const std::string& expected, std::int64_t repaired) {
    INFO(json);
    const auto batch = map("{\"id\":\"1\",\"v\":" + json + "}", {Column("id", Type::text), Column("v", type)});
    REQUIRE(batch.rejects.empty());
    CHECK(text(batch, 0, 1) == expected);
    CHECK(batch.repaired == repaired);
  };
  check(R"("a\/b\u00e9\n\"")", Type::text, "a/bé\n\"", 0);
  check(R"("\ud83d\ude00")", Type::text, "😀", 0);
  check(R"("a\u0000b")", Type::text, "a\uFFFDb", 1);
  check(R"("\ud83d!\ude00")", Type::text, "\uFFFD!\uFFFD", 2);
  check(R"(["a\u0000b"])", Type::json, R"(["a\ufffdb"])", 1);
  check(R"({"\ud83d":"\ud83d\ude00"})", Type::json, R"({"\ufffd":"\ud83d\ude00"})", 1);
  check(R"("1\u0032")", Type::text, "12", 0);
  CHECK(value(R"("1\u0032")", Type::int64) == "12");
  CHECK(rejected(R"("\x41")", Type::text));
}

TEST_CASE("one bad byte costs one character, not the page") {
  const auto batch = map("{\"id\":\"1\",\"n\":1},{\"id\":\"a\xFFz\",\"list\":[\"\xE2\x82\"]},{\"id\":\"3\"}");
  REQUIRE(batch.rows() == 3);
  CHECK(text(batch, 1, 0) == "a\uFFFDz");
  CHECK(text(batch, 1, 3) == "[\"\uFFFD\"]");
  CHECK(batch.repaired == 2);
  CHECK(map("{\"id\":\"\xED\xA0\x80|\xC0\xAF|\xF4\x90\x80\x80\"}").rows() == 1);
}

TEST_CASE("of a member that stands twice the last one counts") {
  CHECK(text(map(R"({"id":"1","id":"2"})"), 0, 0) == "2");
  CHECK(map(R"({"id":"1","n":"x","n":2})").row(0)[1].integer == 2);
  CHECK(map(R"({"id":"1","n":2,"n":"x"})").rejects.size() == 1);
  CHECK(map(R"({"id":"1","inner":{"id":"7"},"inner":{}})").row(0)[4].kind == Kind::absent);
}

TEST_CASE("members are found in any order, changing from row to row") {
  const auto batch = map(
      R"({"id":"1","n":1,"money":"1.5"},{"money":"2.5","x":[{"id":0}],"n":2,"id":"2"},{"n":3,"id":"3"},{"\u0069d":"4","money":"4.5"})");
  REQUIRE(batch.rows() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(text(batch, i, 0) == std::to_string(i + 1));
  CHECK(text(batch, 1, 2) == "2.5");
  CHECK(text(batch, 3, 2) == "4.5");
  CHECK(batch.row(2)[2].kind == Kind::absent);
}

TEST_CASE("new fields are ignored, noted, kept or refused") {
  const std::string rows =
      R"({"id":"1","new":1,"inner":{"other":"x"}},{"id":"2","new":2.5,"flag":true,"list2":[{"a":1}]})";
  CHECK(map(rows).unknown_fields.empty());

  const auto noted = map(rows, columns, NewFields::add);
  CHECK(noted.unknown_fields ==
        std::map<std::string, DataType>{
            {"new", Type::decimal}, {"inner/other", Type::text}, {"flag", Type::boolean}, {"list2", Type::json}});

  // A path could not lead to a member with a slash in its name.
  CHECK(map(R"({"id":"1","a/b":1})", columns, NewFields::add).unknown_fields.empty());

  auto with_extra = columns;
  with_extra.emplace_back(std::string(extra_column), Type::json);
  const auto kept = map(rows + R"(,{"id":"3"})", with_extra, NewFields::keep_in_extra);
  REQUIRE(kept.rows() == 3);
  CHECK(nlohmann::json::parse(text(kept, 0, 5)) == nlohmann::json::parse(R"({"new":1,"inner/other":"x"})"));
  CHECK(nlohmann::json::parse(text(kept, 1, 5)) ==
        nlohmann::json::parse(R"({"new":2.5,"flag":true,"list2":[{"a":1}]})"));
  CHECK(kept.row(2)[5].is_null());

  CHECK_THROWS_WITH(map(rows, columns, NewFields::fail), Catch::Contains("\"new\""));
}

TEST_CASE("a field that the source sends unasked is no new field, and may still be a column") {
  auto mapper = mapper_of(columns, {"id"}, NewFields::fail);
  for (const auto* path : {"id", "x", "inner/y"}) mapper.ignore(path);
  const auto batch = mapper.map(R"({"data":[{"id":"1","x":[1],"inner":{"y":2,"id":"7"}}]})", "data").batch;
  REQUIRE(batch.rows() == 1);
  CHECK(text(batch, 0, 0) == "1");
  CHECK(text(batch, 0, 4) == "7");
  CHECK_THROWS_AS(mapper.map(R"({"data":[{"id":"1","z":1}]})", "data"), Error);
}

TEST_CASE("the envelope is the page without its rows") {
  RowMapper mapper(columns, {"id"});
  const auto page = mapper.map(R"({"data":[{"id":"1"},{"id":"2"}], "paging":{"next":"x"}})", "data");
  CHECK(page.batch.rows() == 2);
  CHECK(nlohmann::json::parse(page.envelope) == nlohmann::json::parse(R"({"data":[],"paging":{"next":"x"}})"));
  CHECK(mapper.map(R"({"error":{"code":1}})", "data").envelope == R"({"error":{"code":1}})");
  CHECK(mapper.map("\xEF\xBB\xBF{\"data\":[]}", "data").batch.empty());
  CHECK(mapper.map(R"([{"id":"1"}])", "").batch.rows() == 1);
}

TEST_CASE("a saved reply is a page, a list of rows, or one row") {
  RowMapper mapper(columns, {"id"});
  for (const auto* saved :
       {R"({"data":[{"id":"1"}],"paging":{}})", R"([{"id":"1"}])", R"({"id":"1","inner":{"id":"2"}})"}) {
    const auto batch = mapper.map_saved(saved, "data");
    REQUIRE(batch.rows() == 1);
    CHECK(text(batch, 0, 0) == "1");
  }
}

TEST_CASE("what is not JSON is an error to try again, wherever it breaks off") {
  const std::string page = R"({"data":[{"id":"1","n":"5","list":[{"a":[1,2]}]},{"id":"2"}],"paging":{}})";
  RowMapper mapper(columns, {"id"});
  REQUIRE(mapper.map(page, "data").batch.rows() == 2);
  for (std::size_t size = 0; size < page.size(); ++size) {
    INFO(page.substr(0, size));
    try {
      mapper.map(page.substr(0, size), "data");
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.remedy() == Remedy::retry);
    }
  }
  for (const auto* bad : {"<html>", "", "42", "{\"data\":[{\"id\" \"1\"}]}", "{\"data\":[{\"id\":\"1\"]}",
                          "{\"data\":[]} x", "{\"data\":[{\"id\":\"1\"},]}"})
    CHECK_THROWS_AS(mapper.map(bad, "data"), Error);
}

TEST_CASE("a column of JSON holds an object whole, of which other columns read members") {
  const std::vector<Column> columns{
      {"props", Type::json}, {"amount", Type::decimal, "props/Amount"}, {"id", Type::text}};
  auto mapper = mapper_of(columns, {}, NewFields::add);
  auto page = mapper.map(R"({"data":[{"props": {"Amount":12.50,"New":{"a":[1]}} ,"id":"x"},{"props":null},
                            {"id":"y","props":{}},{"props":[1]},{"props":{"Amount":"much"},"id":"z"}]})",
                         "data");
  const auto& batch = page.batch;
  REQUIRE(batch.rows() == 3);
  CHECK(batch.text(batch.row(0)[0]) == R"({"Amount":12.50,"New":{"a":[1]}})");
  CHECK(batch.text(batch.row(0)[1]) == "12.5");
  CHECK(batch.text(batch.row(0)[2]) == "x");
  CHECK(batch.row(1)[0].kind == Kind::null);
  CHECK(batch.row(1)[1].kind == Kind::null);
  CHECK(batch.text(batch.row(2)[0]) == "{}");
  CHECK(batch.row(2)[1].kind == Kind::absent);
  REQUIRE(batch.rejects.size() == 2);
  CHECK(batch.unknown_fields.empty());  // what the other columns leave is in the whole
}

TEST_CASE("a column may have several paths, or none") {
  std::vector<Column> columns{{"at", Type::text, "ts"}, {"id", Type::text, "profile/id"}, {"made", Type::int64}};
  columns[0].aliases = {"timestamp"};
  columns[1].aliases = {"user/id"};
  columns[2].path.clear();
  RowMapper mapper(columns, {});
  auto page = mapper.map(R"([{"ts":"1","profile":{"id":"a"},"made":7},{"timestamp":"2","user":{"id":"b"}}])", "");
  const auto& batch = page.batch;
  REQUIRE(batch.rows() == 2);
  CHECK(batch.text(batch.row(0)[0]) == "1");
  CHECK(batch.text(batch.row(0)[1]) == "a");
  CHECK(batch.row(0)[2].kind == Kind::absent);
  CHECK(batch.text(batch.row(1)[0]) == "2");
  CHECK(batch.text(batch.row(1)[1]) == "b");
}
