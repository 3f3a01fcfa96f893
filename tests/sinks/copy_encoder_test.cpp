#include "sinks/copy_encoder.hpp"

#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "db/postgres.hpp"
#include "sinks/postgres_rows.hpp"
#include "tests/sinks/postgres_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

namespace {

CopyColumn column(DataType type, std::uint32_t oid, std::int32_t modifier = -1, bool key = false) {
  return CopyColumn("c", 0, type, oid, modifier, "its type", key);
}
std::int32_t numeric(int precision, int scale) {
  return ((precision << 16) | scale) + 4;
}

// One value through the encoder: its field's bytes, or nothing and why.
struct Encoded {
  std::optional<std::string> bytes;
  bool null = false;
  Reject why;
};

Encoded encode(const CopyColumn& to, Batch batch) {
  CopyEncoder encoder({to});
  ByteBuffer out;
  Encoded result;
  if (!encoder.encode(batch, 0, out, result.why)) {
    CHECK(out.size() == 0);
    return result;
  }
  FieldReader reader(out.view());
  REQUIRE(reader.next());
  result.null = reader.is_null;
  result.bytes = std::string(reader.bytes);
  CHECK_FALSE(reader.next());
  return result;
}
Encoded encode(const CopyColumn& to, Cell cell) {
  Batch batch(1);
  batch.add_row()[0] = cell;
  return encode(to, std::move(batch));
}
Encoded encode(const CopyColumn& to, std::string_view text) {
  Batch batch(1);
  batch.add_row();
  const auto cell = batch.add_text(text);
  batch.row(0)[0] = cell;
  return encode(to, std::move(batch));
}

std::int64_t big_endian(std::string_view bytes) {
  std::int64_t value = (static_cast<unsigned char>(bytes[0]) & 0x80) ? -1 : 0;
  for (const char c : bytes)
    value = static_cast<std::int64_t>((static_cast<std::uint64_t>(value) << 8) | static_cast<unsigned char>(c));
  return value;
}

// What numeric_recv and numeric_out make of the bytes.
std::string decode_numeric(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return big_endian(bytes.substr(i * 2, 2)); };
  const auto count = at(0), weight = at(1), scale = at(3);
  const auto digit = [&](std::int64_t group) -> std::int64_t {
    return group < 0 || group >= count ? 0 : at(static_cast<std::size_t>(4 + group));
  };
  std::string whole, fraction;
  for (std::int64_t w = weight; w >= 0; --w) whole += fmt::format("{:04}", digit(weight - w));
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  for (std::int64_t g = 0; g * 4 < scale; ++g) fraction += fmt::format("{:04}", digit(weight + 1 + g));
  fraction.resize(static_cast<std::size_t>(scale));
  auto text = (whole.empty() ? "0" : whole) + (fraction.empty() ? "" : "." + fraction);
  return (static_cast<std::uint16_t>(at(2)) == 0x4000 ? "-" : "") + text;
}

std::string digits(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += *rc::gen::elementOf(std::string("0123456789"));
  return text;
}

}  // namespace

TEST_CASE("decimals of any length come out of numeric as they went in") {
  CHECK(rc::check("decode(encode(x)) = x", [] {
    auto whole = digits(*rc::gen::inRange<std::size_t>(1, 40));
    whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size() - 1));
    const auto fraction = digits(*rc::gen::inRange<std::size_t>(0, 30));
    auto text = whole + (fraction.empty() ? "" : "." + fraction);
    if (text.find_first_of("123456789") != std::string::npos && *rc::gen::arbitrary<bool>()) text = "-" + text;
    const auto encoded = encode(column(Type::decimal, pg_oid::numeric), text);
    RC_ASSERT(encoded.bytes.has_value());
    RC_ASSERT(decode_numeric(*encoded.bytes) == text);
  }));
  for (const auto* text :
       {"0", "0.0000", "0.0001", "-0.00010000", "10000", "9999.9999", "100000000", "1000000.00000001"})
    CHECK(decode_numeric(*encode(column(Type::decimal, pg_oid::numeric), text).bytes) == text);
  CHECK(decode_numeric(*encode(column(Type::decimal, pg_oid::numeric), "-0").bytes) == "0");
}

TEST_CASE("a decimal with more digits than its column is refused, never rounded") {
  const auto money = column(Type::decimal, pg_oid::numeric, numeric(6, 2));
  CHECK(decode_numeric(*encode(money, "1234.5").bytes) == "1234.50");
  CHECK(decode_numeric(*encode(money, "1234.5600").bytes) == "1234.56");
  CHECK(encode(money, "1234.567").why.reason ==
        "column c: the value has more digits than the column; the column takes its type");
  CHECK_THAT(encode(money, "12345").why.reason, Catch::Contains("out of range"));
  CHECK(encode(money, std::string_view("0012345")).why.rule == "type");
  for (const auto* bad : {"", "-", ".", "1.", ".5", "1e3", "NaN", "1,5", "--1", "+1", "1 "})
    CHECK_FALSE(encode(column(Type::decimal, pg_oid::numeric), bad).bytes);
  CHECK(encode(column(Type::decimal, pg_oid::numeric), std::string(131073, '9')).why.rule == "type");
}

TEST_CASE("integers go into every integer and decimal column that holds them") {
  CHECK(rc::check("decode(encode(x)) = x", [](std::int64_t value) {
    RC_ASSERT(big_endian(*encode(column(Type::int64, pg_oid::int8), Cell::of(value)).bytes) == value);
    RC_ASSERT(decode_numeric(*encode(column(Type::int64, pg_oid::numeric), Cell::of(value)).bytes) ==
              std::to_string(value));
    RC_ASSERT(*encode(column(Type::int64, pg_oid::text), Cell::of(value)).bytes == std::to_string(value));
    const bool small = value >= INT16_MIN && value <= INT16_MAX;
    RC_ASSERT(encode(column(Type::int64, pg_oid::int2), Cell::of(value)).bytes.has_value() == small);
  }));
  const auto least = std::numeric_limits<std::int64_t>::min();
  CHECK(big_endian(*encode(column(Type::int64, pg_oid::int8), Cell::of(least)).bytes) == least);
  CHECK(decode_numeric(*encode(column(Type::int64, pg_oid::numeric), Cell::of(least)).bytes) == "-9223372036854775808");
  CHECK_FALSE(encode(column(Type::int64, pg_oid::int4), Cell::of(std::int64_t{1} << 31)).bytes);
  CHECK(big_endian(*encode(column(Type::decimal, pg_oid::int8), "42.00").bytes) == 42);
  CHECK_FALSE(encode(column(Type::decimal, pg_oid::int8), "42.5").bytes);
  CHECK_FALSE(encode(column(Type::decimal, pg_oid::int8), "9223372036854775808").bytes);
}

TEST_CASE("money never passes through a double, and integers only where nothing is lost") {
  CHECK_FALSE(encode(column(Type::decimal, pg_oid::float8), "1.5").bytes);
  CHECK_FALSE(encode(column(Type::decimal, pg_oid::numeric), Cell::of(1.5)).bytes);
  CHECK(encode(column(Type::int64, pg_oid::float8), Cell::of(std::int64_t{1} << 53)).bytes);
  CHECK_FALSE(encode(column(Type::int64, pg_oid::float8), Cell::of((std::int64_t{1} << 53) + 1)).bytes);
  CHECK(encode(column(Type::float64, pg_oid::float4), Cell::of(0.5)).bytes);
  CHECK_FALSE(encode(column(Type::float64, pg_oid::float4), Cell::of(0.1)).bytes);
  CHECK_FALSE(encode(column(Type::float64, pg_oid::float4), Cell::of(1e300)).bytes);
}

TEST_CASE("dates and times outside PostgreSQL's range are refused") {
  const auto day = column(Type::date, pg_oid::date);
  CHECK(big_endian(*encode(day, Cell::of(std::int64_t{10957})).bytes) == 0);
  CHECK_FALSE(encode(day, Cell::of(std::numeric_limits<std::int64_t>::max())).bytes);
  CHECK_FALSE(encode(day, Cell::of(std::int64_t{-2451545 + 10957 - 1})).bytes);
  const auto when = column(Type::timestamp, pg_oid::timestamptz);
  CHECK(big_endian(*encode(when, Cell::of(std::int64_t{946'684'800'000'001})).bytes) == 1);
  CHECK_FALSE(encode(when, Cell::of(std::numeric_limits<std::int64_t>::min())).bytes);
  CHECK(encode(when, Cell::of(std::numeric_limits<std::int64_t>::max())).bytes);
  CHECK_FALSE(encode(column(Type::time, pg_oid::time), Cell::of(std::int64_t{86'400'000'001})).bytes);
}

TEST_CASE("JSON is checked before the server would refuse the whole COPY for it") {
  const auto jsonb = column(Type::json, pg_oid::jsonb);
  CHECK(*encode(jsonb, R"({"a":[1,-2.5e3,true,null,"x\u00e9"]})").bytes ==
        "\x01{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\"]}");
  CHECK(*encode(column(Type::json, pg_oid::json), "[]").bytes == "[]");
  for (const auto* bad : {"",          "{",   "[1,]",    "{\"a\"}", "{\"a\":1,}", "{a:1}",   "nul",         "01",
                          "1.",        "-",   "1e",      "\"a",     "\"\t\"",     "\"\\x\"", "\"\\u12g4\"", "[1}",
                          "{\"a\":1]", "1 2", "1e99999", "[",       "{\"a\":",    "\"\\"})
    CHECK(encode(jsonb, bad).why.rule == "json");
  CHECK(encode(jsonb, std::string(1001, '[') + std::string(1001, ']')).why.rule == "json");
  CHECK(encode(jsonb, std::string(1000, '[') + std::string(1000, ']')).bytes);
  CHECK(*encode(jsonb, R"(["\u0000\ud83d\ude00\ud83d\\u0000"])").bytes ==
        "\x01[\"\\ufffd\\ud83d\\ude00\\ufffd\\\\u0000\"]");
}

TEST_CASE("text is repaired, and too long for its column it is refused") {
  CHECK(*encode(column(Type::text, pg_oid::text), std::string_view("a\0\xc3(\xed\xa0\x80\xf0\x9f\x98\x80", 11)).bytes ==
        "a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80");
  const auto three = column(Type::text, pg_oid::varchar, 3 + 4);
  CHECK(encode(three, "\xc3\xa9\xc3\xa9\xc3\xa9").bytes);
  CHECK_FALSE(encode(three, "four").bytes);
}

TEST_CASE("every type has a form as text, and a missing value is NULL or, in a key, ''") {
  const auto text = [](DataType type, Cell cell) { return *encode(column(type, pg_oid::text), cell).bytes; };
  CHECK(text(Type::boolean, Cell::of(std::int64_t{1})) == "true");
  CHECK(text(Type::date, Cell::of(std::int64_t{20513})) == "2026-03-01");
  CHECK(text(Type::time, Cell::of(std::int64_t{3'723'000'004})) == "01:02:03.000004");
  CHECK(text(Type::timestamp, Cell::of(std::int64_t{0})) == "1970-01-01T00:00:00Z");
  CHECK(text(Type::float64, Cell::of(0.1)) == "0.1");
  CHECK(*encode(column(Type::bytes, pg_oid::text), std::string_view("\0\xff", 2)).bytes == "\\x00ff");
  CHECK(encode(column(Type::text, pg_oid::text), Cell::absent()).null);
  const auto key = encode(column(Type::text, pg_oid::text, -1, true), Cell());
  CHECK_FALSE(key.null);
  CHECK(key.bytes == "");
  CHECK(encode(column(Type::int64, pg_oid::int8, -1, true), Cell()).why.rule == "required");
}

TEST_CASE("the server reads what the encoder wrote, for every type and its extremes") {
  Warehouse warehouse;
  Table table;
  table.name = "types";
  const std::vector<std::pair<std::string, DataType>> types{{"k", Type::int64},
                                                            {"boolean", Type::boolean},
                                                            {"float64", Type::float64},
                                                            {"decimal", Type::decimal},
                                                            {"money", {Type::decimal, 38, 9}},
                                                            {"text", Type::text},
                                                            {"json", Type::json},
                                                            {"date", Type::date},
                                                            {"time", Type::time},
                                                            {"timestamp", Type::timestamp},
                                                            {"bytes", Type::bytes},
                                                            {"uuid", Type::uuid}};
  for (std::size_t i = 0; i < types.size(); ++i) table.columns.emplace_back(types[i].first, types[i].second, i);
  table.key = {"k"};
  warehouse.run(warehouse.sink().prepare(table));
  Batch batch(types.size());
  const auto add = [&](const std::vector<std::variant<std::int64_t, double, std::string>>& values) {
    batch.add_row();
    for (std::size_t i = 0; i < values.size(); ++i) {
      Cell cell;
      if (const auto* n = std::get_if<std::int64_t>(&values[i])) cell = Cell::of(*n);
      if (const auto* r = std::get_if<double>(&values[i])) cell = Cell::of(*r);
      if (const auto* t = std::get_if<std::string>(&values[i])) cell = batch.add_text(*t);
      batch.row(batch.rows() - 1)[i] = cell;
    }
  };
  using I = std::int64_t;
  add({I{1}, I{1}, 0.1, "12345678901234567890.123456789012345678901234567890",
       "-12345678901234567890123456789.123456789", "h\xc3\xa9", R"({"a": [1.10, "\u00e9"]})", I{-719162},
       I{86'399'999'999}, I{253'402'300'799'999'999}, std::string("\0\xff", 2),
       "0189f7e2-1b2c-7d3e-8f40-0123456789ab"});
  add({std::numeric_limits<I>::max(), I{0}, std::numeric_limits<double>::infinity(), "0.000", "0", "", "[]", I{0}, I{0},
       I{-1}, "", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"});
  batch.add_row()[0] = Cell::of(std::numeric_limits<I>::min());
  Publish what;
  what.table = table;
  what.table.cursor = Cursor::none;
  what.slice = Slice::whole(Partition(""));
  std::vector<Batch> batches;
  batches.push_back(std::move(batch));
  CHECK(warehouse.run(publish_batches(warehouse, std::move(what), std::move(batches))).counts.inserted == 3);
  std::string names;
  for (const auto& type : types) names += (names.empty() ? "\"" : ", \"") + type.first + "\"";
  CHECK(
      warehouse.ask("SET timezone = 'UTC'; SELECT " + names + " FROM types ORDER BY k DESC") ==
      "9223372036854775807|f|Infinity|0.000|0.000000000||[]|1970-01-01|00:00:00|1969-12-31 23:59:59.999999+00|\\x|"
      "ffffffff-ffff-ffff-ffff-ffffffffffff\n"
      "1|t|0.1|12345678901234567890.123456789012345678901234567890|-12345678901234567890123456789.123456789|h\xc3\xa9|"
      "{\"a\": [1.10, \"\xc3\xa9\"]}|0001-01-01|23:59:59.999999|9999-12-31 23:59:59.999999+00|\\x00ff|"
      "0189f7e2-1b2c-7d3e-8f40-0123456789ab\n"
      "-9223372036854775808|||||||||||");
}
