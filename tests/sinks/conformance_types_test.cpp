#include <catch2/catch.hpp>

#include "tests/sinks/conformance.hpp"

using namespace sluice;
using namespace sluice::conformance;
using namespace std::chrono_literals;

namespace {

const Slice all = Slice::whole(Partition(""));

Table typed(std::initializer_list<DataType> types) {
  Table table;
  table.name = "typed";
  table.columns.emplace_back("id", Type::int64, 0);
  for (const auto type : types) {
    const auto at = table.columns.size();
    table.columns.emplace_back("v" + std::to_string(at), type, at);
  }
  table.key = {"id"};
  return table;
}

Instant instant(const char* text) {
  return *parse_instant(text);
}

}  // namespace

TEST_CASE_METHOD(Conformance, "any sink: every type keeps its values, the extremes too") {
  const auto table = typed({Type::boolean, Type::int64, Type::decimal, DataType(Type::decimal, 18, 4), Type::text,
                            Type::json, Type::date, Type::time, Type::timestamp, Type::uuid});
  prepare(table);
  const std::string long_decimal = "-" + std::string(300, '7') + "." + std::string(200, '3');
  const std::string uuid = "6f2c1a52-0c1e-4d5a-9b7e-0123456789ab";
  const std::vector<GivenRow> rows{
      {1, true, std::numeric_limits<std::int64_t>::min(), long_decimal, "-99999999999999.9999",
       "caf\u00e9 \U0001f600 'x' \"y\" |", "[1, 2]", Day(1, 1, 1), Duration(0), instant("0001-01-01T00:00:00Z"), uuid},
      {2, false, std::numeric_limits<std::int64_t>::max(), "0.10", "0.0001", "", "{}", Day(9999, 12, 31),
       Duration(24h - 1us), instant("9999-12-31T23:59:59.999999Z"), uuid},
      {3, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr}};
  CHECK(load(table, all, rows).counts.inserted == 3);

  const auto show = [&](Type type, const std::string& value) { return "|" + subject->shown(type, value); };
  const auto seen = query("SELECT id, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10 FROM typed ORDER BY id");
  REQUIRE(seen.size() == 3);
  CHECK(seen[0] == "1" + show(Type::boolean, "true") + "|-9223372036854775808|" + long_decimal +
                       "|-99999999999999.9999|caf\u00e9 \U0001f600 'x' \"y\" ||[1, 2]" +
                       show(Type::date, "0001-01-01") + show(Type::time, "00:00:00") +
                       show(Type::timestamp, "0001-01-01T00:00:00Z") + "|" + uuid);
  CHECK(seen[1] == "2" + show(Type::boolean, "false") + "|9223372036854775807|0.10|0.0001||{}" +
                       show(Type::date, "9999-12-31") + show(Type::time, "23:59:59.999999") +
                       show(Type::timestamp, "9999-12-31T23:59:59.999999Z") + "|" + uuid);
  CHECK(seen[2] == "3|~|~|~|~|~|~|~|~|~|~");

  // What was stored is recognised as the same.
  const auto again = load(table, all, rows, {.run = "run2"});
  CHECK(again.counts.unchanged == 3);
  CHECK(one("SELECT count(*) FROM typed WHERE _sluice_run = 'run1'") == "3");
}

TEST_CASE_METHOD(Conformance, "any sink: floating point numbers are the same numbers again") {
  const auto table = typed({Type::float64});
  prepare(table);
  const std::vector<GivenRow> rows{{1, 0.1}, {2, 1.7976931348623157e308}, {3, -5e-324}, {4, 0.1 + 0.2}, {5, nullptr}};
  load(table, all, rows);
  CHECK(one("SELECT count(*) FROM typed WHERE v1 IN (0.1, 1.7976931348623157e308, 0.30000000000000004)") == "3");
  CHECK(one("SELECT count(*) FROM typed WHERE v1 < 0 AND v1 > -1e-320") == "1");
  CHECK(load(table, all, rows).counts.unchanged == 5);
}

TEST_CASE_METHOD(Conformance, "any sink: bytes are kept as they are") {
  const auto table = typed({Type::bytes});
  prepare(table);
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(i);
  const std::vector<GivenRow> rows{{1, every}, {2, ""}, {3, nullptr}};
  load(table, all, rows);
  CHECK(query("SELECT length(v1) FROM typed ORDER BY id") == Rows{"256", "0", "~"});
  CHECK(load(table, all, rows).counts.unchanged == 3);
}

TEST_CASE_METHOD(Conformance, "any sink: ids above 2^53 are not rounded, as numbers or as texts") {
  const auto table = typed({Type::int64, Type::text});
  prepare(table);
  load(table, all,
       {{1, std::int64_t{9007199254740993}, "9007199254740993"},
        {2, std::int64_t{23851234567890123}, "120208123456789012345"}});
  CHECK(query("SELECT v1, v2 FROM typed ORDER BY id") ==
        Rows{"9007199254740993|9007199254740993", "23851234567890123|120208123456789012345"});
}

TEST_CASE_METHOD(Conformance, "any sink: text that is not UTF-8 and U+0000 become U+FFFD, and are counted") {
  const auto table = typed({Type::text, Type::json});
  prepare(table);
  const std::vector<GivenRow> rows{{1, std::string("a\0b", 3), "[\"\\u0000\"]"}, {2, "x\xffy\xc3", "[\"\xff\"]"}};
  CHECK(load(table, all, rows).repaired == 5);
  CHECK(query("SELECT v1 FROM typed ORDER BY id") == Rows{"a\xef\xbf\xbd"
                                                          "b",
                                                          "x\xef\xbf\xbdy\xef\xbf\xbd"});
  CHECK(one("SELECT count(*) FROM typed WHERE v2 IS NOT NULL") == "2");
  CHECK(query("SELECT id FROM typed WHERE CAST(v2 AS text) LIKE '%u0000%'").empty());
}

TEST_CASE_METHOD(Conformance, "any sink: what is not JSON is set aside, its neighbours are loaded") {
  const auto table = typed({Type::json});
  prepare(table);
  const auto done = load(table, all, {{1, "{\"a\": "}, {2, "[]"}});
  CHECK(done.counts.inserted == 1);
  CHECK(done.counts.quarantined == 1);
  CHECK(query("SELECT id FROM typed") == Rows{"2"});
  CHECK(one("SELECT rule, raw FROM _sluice_quarantine") == "json|{\"row\":1}");
}

TEST_CASE_METHOD(Conformance,
                 "any sink: a missing part of the key is an empty text, or the row is set aside where it cannot be") {
  auto table = typed({Type::text, Type::text});
  table.key = {"id", "v1"};
  prepare(table);
  const std::vector<GivenRow> rows{{1, nullptr, "total"}, {1, "UK", "one country"}, {nullptr, "UK", "nobody"}};
  const auto done = load(table, all, rows);
  CHECK(done.counts.inserted == 2);
  CHECK(done.counts.quarantined == 1);
  CHECK(query("SELECT v1, v2 FROM typed ORDER BY v2") == Rows{"UK|one country", "|total"});
  CHECK(one("SELECT rule FROM _sluice_quarantine") == "required");
  CHECK_THAT(one("SELECT reason FROM _sluice_quarantine"), Catch::Contains("column id"));
  const auto again = load(table, all, rows);
  CHECK(again.counts.unchanged == 2);
}

TEST_CASE_METHOD(Conformance, "any sink: columns are taken from where the table says, whatever the stream's order") {
  auto table = typed({Type::text, Type::text});
  table.columns[1].source = 2;
  table.columns[2].source = 1;
  prepare(table);
  load(table, all, {{1, "second", "first"}});
  CHECK(one("SELECT v1, v2 FROM typed") == "first|second");
}
