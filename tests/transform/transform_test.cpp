#include "transform/transform.hpp"

#include <rapidcheck.h>

#include <catch2/catch.hpp>

#include "transform/cast.hpp"

using namespace sluice;
using Action = TransformStep::Action;

namespace {

StreamSpec insights() {
  StreamSpec spec;
  spec.columns = {Column("account_id", Type::text), Column("date_start", Type::date),
                  Column("impressions", Type::int64), Column("spend", Type::decimal), Column("cpp", Type::decimal)};
  spec.key = {"account_id", "date_start"};
  spec.cursor = Cursor::date;
  spec.partition_column = "account_id";
  spec.cursor_column = "date_start";
  return spec;
}

TransformStep columns(Action action, std::vector<std::string> names) {
  TransformStep step;
  step.action = action;
  step.columns = std::move(names);
  return step;
}

TransformStep pairs(Action action, std::vector<std::pair<std::string, std::string>> what) {
  TransformStep step;
  step.action = action;
  step.pairs = std::move(what);
  return step;
}

struct Made {
  StreamSpec stream = insights();
  Table table;
  Faults faults;
  Transform transform;
  explicit Made(const std::vector<TransformStep>& steps) : transform(Transform::make(stream, steps, table, faults)) {}
  std::string columns() const {
    std::string text;
    for (const auto& c : table.columns)
      text += fmt::format("{}{}:{}@{}", text.empty() ? "" : " ", c.name, to_string(c.type), c.source);
    return text;
  }
  std::string fault() const { return faults.empty() ? "" : faults.front().message; }
};

std::string cast(std::string_view value, DataType from, DataType to) {
  Batch batch(1);
  std::string fault;
  const auto cell = batch.add_text(value);
  const auto made = cast_cell(batch, cell, from, to, fault);
  if (!made) return "! " + fault;
  return made->kind == Kind::text ? std::string(batch.text(*made)) : std::to_string(made->integer);
}

}  // namespace

TEST_CASE("without steps the table has the stream's columns, key and window") {
  const Made made({});
  CHECK(made.faults.empty());
  CHECK(made.columns() == "account_id:text@0 date_start:date@1 impressions:int64@2 spend:decimal@3 cpp:decimal@4");
  CHECK(made.table.key == std::vector<std::string>{"account_id", "date_start"});
  CHECK(made.table.partition_column == "account_id");
  CHECK(made.table.cursor_column == "date_start");
}

TEST_CASE("steps apply in their order, and nothing moves in the batch") {
  const Made made({pairs(Action::rename, {{"spend", "cost"}}), pairs(Action::cast, {{"cost", "decimal(18,4)"}}),
                   columns(Action::drop, {"cpp"})});
  CHECK(made.fault() == "");
  CHECK(made.columns() == "account_id:text@0 date_start:date@1 impressions:int64@2 cost:decimal(18,4)@3");
}

TEST_CASE("key and window follow a rename") {
  const Made made({pairs(Action::rename, {{"date_start", "day"}})});
  CHECK(made.table.key == std::vector<std::string>{"account_id", "day"});
  CHECK(made.table.cursor_column == "day");
}

TEST_CASE("two columns can swap names") {
  const Made made({pairs(Action::rename, {{"spend", "cpp"}, {"cpp", "spend"}})});
  CHECK(made.fault() == "");
  CHECK(made.columns() == "account_id:text@0 date_start:date@1 impressions:int64@2 cpp:decimal@3 spend:decimal@4");
}

TEST_CASE("steps that cannot be are faults that say why") {
  CHECK(Made({columns(Action::select, {"account_id", "date_start", "impresions"})}).fault() ==
        "there is no column 'impresions' here; did you mean 'impressions'?");
  CHECK(Made({columns(Action::select, {"account_id", "spend"})}).fault() ==
        "column 'date_start' cannot be left out: it is part of the key");
  CHECK(Made({columns(Action::drop, {"account_id"})}).fault() ==
        "column 'account_id' cannot be left out: it is part of the key");
  CHECK(Made({pairs(Action::rename, {{"spend", "cpp"}})}).fault() == "two columns would be called 'cpp'");
  CHECK(Made({pairs(Action::cast, {{"spend", "money"}})}).fault() == "'money' is not a type");
  CHECK(Made({pairs(Action::cast, {{"spend", "date"}})}).fault() ==
        "column 'spend' is decimal, which cannot be cast to date");
}

TEST_CASE("dropping a column that the stream does not have is fine") {
  CHECK(Made({columns(Action::drop, {"email"})}).fault() == "");
}

TEST_CASE("decimals are cast exactly, rounded half away from zero, and never overflow silently") {
  const DataType any(Type::decimal), money(Type::decimal, 6, 2);
  CHECK(cast("14.35", any, money) == "14.35");
  CHECK(cast("1.594444", any, money) == "1.59");
  CHECK(cast("2.345", any, money) == "2.35");
  CHECK(cast("-2.345", any, money) == "-2.35");
  CHECK(cast("-0.004", any, money) == "0");
  CHECK(cast("9999.994", any, money) == "9999.99");
  CHECK(cast("9999.995", any, money) == "! '9999.995' does not fit decimal(6,2)");
  CHECK(cast("12345678901234567890.123456789", Type::text, any) == "12345678901234567890.123456789");
  CHECK(cast("1,234.5", Type::text, money) == "! '1,234.5' does not fit decimal(6,2)");
  // A message cuts no character in two: "ü" has bytes 40 and 41.
  const std::string long_text = std::string(39, 'x') + "ü";
  CHECK(cast(long_text, Type::text, money) == "! '" + std::string(39, 'x') + "…' does not fit decimal(6,2)");
  CHECK(cast("NaN", Type::text, money) == "! 'NaN' does not fit decimal(6,2)");
}

TEST_CASE("texts are cast to what they say and nothing else") {
  CHECK(cast("120208325579370399", Type::text, Type::int64) == "120208325579370399");
  CHECK(cast("12.000", Type::text, Type::int64) == "12");
  CHECK(cast("12.5", Type::decimal, Type::int64) == "! '12.5' does not fit int64");
  CHECK(cast("9223372036854775808", Type::text, Type::int64) == "! '9223372036854775808' does not fit int64");
  CHECK(cast("2026-03-01", Type::text, Type::date) == std::to_string(Day(2026, 3, 1) - Day(1970, 1, 1)));
  CHECK(cast("yesterday", Type::text, Type::date) == "! 'yesterday' does not fit date");
  CHECK(cast("1970-01-01T00:00:01Z", Type::text, Type::timestamp) == "1000000");
  CHECK(cast("23:59:59", Type::text, Type::time) == "86399000000");
  CHECK(cast("true", Type::text, Type::boolean) == "1");
  CHECK(cast("maybe", Type::text, Type::boolean) == "! 'maybe' does not fit boolean");
  CHECK(cast("6F9619FF-8B86-D011-B42D-00CF4FC964FF", Type::text, Type::uuid) == "6f9619ff-8b86-d011-b42d-00cf4fc964ff");
}

TEST_CASE("a row whose value does not fit its cast is rejected with its key and its source, the others go on") {
  const Made made({pairs(Action::rename, {{"spend", "cost"}}), pairs(Action::cast, {{"cost", "decimal(4,2)"}})});
  Batch batch(5);
  for (const auto* spend : {"1.5", "1000", "2.5"}) {
    auto row = batch.add_row();
    row[0] = batch.add_text("42");
    row[1] = Cell::of(Day(2026, 3, 1) - Day(1970, 1, 1));
    row[3] = batch.add_text(spend);
    batch.set_raw(fmt::format(R"({{"spend":"{}"}})", spend));
  }
  made.transform.apply(batch);
  REQUIRE(batch.rows() == 2);
  CHECK(batch.text(batch.row(0)[3]) == "1.5");
  CHECK(batch.text(batch.row(1)[3]) == "2.5");
  REQUIRE(batch.rejects.size() == 1);
  CHECK(batch.rejects[0].key == R"(["42","2026-03-01"])");
  CHECK(batch.rejects[0].reason == "column cost: '1000' does not fit decimal(4,2)");
  CHECK(batch.rejects[0].rule == "cast");
  CHECK(batch.rejects[0].raw == R"({"spend":"1000"})");
  CHECK(batch.raw(1) == R"({"spend":"2.5"})");
}

TEST_CASE("a rejected row's key is that of the table, wherever its cast stands, or is not given") {
  const Made made({pairs(Action::cast, {{"spend", "decimal(4,2)"}}),
                   pairs(Action::cast, {{"account_id", "int64"}, {"date_start", "timestamp"}}),
                   pairs(Action::cast, {{"account_id", "decimal(2,0)"}})});
  CHECK(made.fault() == "");
  Batch batch(5);
  const auto add = [&](const char* account, const char* spend) {
    auto row = batch.add_row();
    row[0] = batch.add_text(account);
    row[1] = Cell::of(Day(2026, 3, 1) - Day(1970, 1, 1));
    row[3] = batch.add_text(spend);
  };
  add("007", "1000");  // spend does not fit
  add("700", "1");     // the second cast of the key does not
  add("shop", "1");    // the first one does not
  add("7", "1");
  batch.rejects.push_back(Reject{R"(["008","2026-03-01"])", "impressions: found a text", "type", "{}"});
  made.transform.apply(batch);
  CHECK(batch.rows() == 1);
  std::vector<std::string> keys;
  for (const auto& reject : batch.rejects) keys.push_back(reject.key);
  CHECK(keys == std::vector<std::string>{"", R"(["7","2026-03-01T00:00:00Z"])", "", ""});
}

TEST_CASE("NULL stays NULL through a cast") {
  Batch batch(1);
  std::string fault;
  const auto made = cast_cell(batch, Cell::absent(), Type::text, Type::int64, fault);
  REQUIRE(made);
  CHECK(made->is_null());
}

TEST_CASE("whatever the number, casting it to text and back changes nothing") {
  rc::check([] {
    const auto text = std::to_string(*rc::gen::arbitrary<std::int64_t>());
    RC_ASSERT(cast(cast(text, Type::decimal, Type::text), Type::text, Type::decimal) == text);
    RC_ASSERT(cast(cast(text, Type::decimal, Type::int64), Type::text, Type::decimal) == text);
  });
}
