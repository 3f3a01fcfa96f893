#include "transform/guarding.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "core/row_mapper.hpp"
#include "transform/transform.hpp"

using namespace sluice;
using Action = TransformStep::Action;
using Catch::Contains;

// What `mask` and `drop` make of a stream: of its columns, of its rows, and what they refuse.

namespace {

// Somebody who is known by an identity or by a device, from a source whose rows are JSON.
StreamSpec people() {
  StreamSpec spec;
  spec.columns = {Column("account", Type::text),          Column("person", Type::text),
                  Column("identity", Type::text),         Column("device", Type::text),
                  Column("email", Type::text, "p/email"), Column("age", Type::int64, "p/age"),
                  Column("props", Type::json, "p", true), Column("seen", Type::timestamp),
                  Column("ts", Type::text, "ts", true),   Column("score", Type::int64),
                  Column("count", Type::int64),           Column("note", Type::json)};
  const auto made = [&](const std::string& name, std::vector<std::string> of) {
    for (auto& column : spec.columns)
      if (column.name == name) {
        column.path.clear();
        column.made_of = std::move(of);
      }
  };
  made("person", {"identity", "device"});
  made("seen", {"ts"});
  made("count", {});
  made("note", {});
  spec.key = {"account", "person"};
  spec.partition_column = "account";
  return spec;
}

TransformStep drops(std::vector<std::string> names) {
  TransformStep step;
  step.action = Action::drop;
  step.columns = std::move(names);
  return step;
}

TransformStep guard_step(Action action, std::vector<std::pair<std::string, std::string>> what, bool with_key = true) {
  ::setenv("SLUICE_TEST_MASK_KEY", "0123456789abcdef0123456789abcdef", 1);
  TransformStep step;
  step.action = action;
  step.pairs = std::move(what);
  if (with_key) step.key = std::make_shared<MaskKey>("k", TextRef(TextRef::From::env, "SLUICE_TEST_MASK_KEY"));
  return step;
}

TransformStep masks(std::vector<std::pair<std::string, std::string>> what) {
  return guard_step(Action::mask, std::move(what));
}

struct Guarded {
  StreamSpec stream = people();
  Table table;
  Faults faults;
  Transform transform;
  explicit Guarded(const std::vector<TransformStep>& steps, NewFields new_fields = NewFields::ignore)
      : transform(make(steps, new_fields)) {}
  std::string fault() const { return faults.empty() ? "" : faults.front().message; }
  const TableColumn& column(const char* name) const { return *table.find(name); }
  // One row through mapper and transform: "column=value …" of the table, then the raw row; or why it is rejected.
  std::string row(const std::string& json) {
    REQUIRE(faults.empty());
    RowMapper mapper(stream);
    auto batch = mapper.map_saved(json, "data");
    transform.apply(batch);
    if (!batch.rejects.empty()) return batch.rejects[0].reason + " | " + batch.rejects[0].raw;
    std::string text;
    for (const auto& one : table.columns) {
      const auto& cell = batch.row(0)[one.source];
      if (cell.is_null()) continue;
      text += one.name + "=" + (cell.kind == Kind::text ? std::string(batch.text(cell)) : std::to_string(cell.integer));
      text += " ";
    }
    return text + "| " + std::string(batch.raw(0));
  }

 private:
  Transform make(const std::vector<TransformStep>& steps, NewFields new_fields) {
    stream.new_fields = new_fields;
    if (new_fields == NewFields::keep_in_extra) {
      stream.columns.emplace_back(std::string(extra_column), Type::json);
      stream.columns.back().path.clear();
    }
    return Transform::make(stream, steps, table, faults);
  }
};

std::string fault(const std::vector<TransformStep>& steps) {
  return Guarded(steps).fault();
}

constexpr const char* ann = R"({"account":"1","identity":"7","p":{"email":"ann@b.c","age":41,"city":"Pune"},"ts":"x"})";

}  // namespace

TEST_CASE("a masked column is masked in the JSON that holds it too, and in the raw row") {
  Guarded made({masks({{"email", "redact"}, {"age", "redact"}})});
  CHECK(made.row(ann) ==
        R"(account=1 identity=7 email=*** age=*** props={"email":"***","age":"***","city":"Pune"} ts=x | )"
        R"({"account":"1","identity":"7","p":{"email":"***","age":"***","city":"Pune"},"ts":"x"})");
  CHECK(made.column("age").type == DataType(Type::text));
  CHECK(made.column("age").comment == "masked by redact");
}

TEST_CASE("a mask inside JSON reaches the columns that read there, whose values become text") {
  Guarded made({masks({{"props.age", "partial"}, {"props.none", "redact"}})});
  CHECK_THAT(made.row(ann), Contains(R"(age=*** props={"email":"ann@b.c","age":"***","city":"Pune"})"));
  CHECK(made.column("age").type == DataType(Type::text));
  CHECK(made.column("props").type == DataType(Type::json));
  CHECK(made.column("props").comment == "age masked by partial; none masked by redact");
  CHECK(made.column("email").type == DataType(Type::text));
}

TEST_CASE("a column of JSON that is masked whole stays JSON of masked values") {
  Guarded made({masks({{"props", "redact"}})});
  CHECK_THAT(made.row(ann), Contains(R"(props={"email":"***","age":"***","city":"***"})"));
  Guarded partly({masks({{"props", "partial"}})});
  CHECK_THAT(partly.row(ann),
             Contains(R"(email=a***@b.c age=*** props={"email":"a***@b.c","age":"***","city":"***e"})"));
}

TEST_CASE("ids keep every digit on their way into a pseudonym, as number and as text alike") {
  Guarded made({masks({{"score", "hmac_sha256"}})});
  const auto as_number = made.row(R"({"account":"1","p":{},"ts":"x","score":9007199254740993})");
  CHECK(as_number.find("9007199254740993") == std::string::npos);
  const auto pseudonym = as_number.substr(as_number.find("score="), 54);
  CHECK_THAT(made.row(R"({"account":"1","p":{},"ts":"x","score":"9007199254740993"})"), Contains(pseudonym));
  CHECK_THAT(made.row(R"({"account":"1","p":{},"ts":"x","score":9007199254740992})"), !Contains(pseudonym));
}

TEST_CASE("what else is made of a masked value is made of the masked one") {
  Guarded made({masks({{"identity", "hmac_sha256"}})});
  CHECK(made.faults.empty());
  CHECK(made.table.find("person")->type == DataType(Type::text));
  // The other way round: masking the column masks what it is made of.
  Guarded person({masks({{"person", "hmac_sha256"}})});
  const auto row = person.row(R"({"account":"1","identity":"7","device":"phone-7","p":{},"ts":"x"})");
  CHECK_THAT(row, Contains("identity=hmac_sha256:k:") && Contains("device=hmac_sha256:k:") && !Contains("phone-7"));
}

TEST_CASE("columns that the connector fills out of no member are masked in their cells, keys of rejects too") {
  Guarded made({masks({{"count", "hmac_sha256"}, {"note.who", "redact"}}), drops({"note.secret"}),
                guard_step(Action::cast, {{"ts", "int64"}})});
  REQUIRE(made.faults.empty());
  CHECK(made.column("count").type == DataType(Type::text));
  Batch batch(made.stream.columns.size());
  for (const auto* ts : {"5", "bad"}) {
    auto row = batch.add_row();
    row[0] = batch.add_text("1");
    row[8] = batch.add_text(ts);
    row[10] = Cell::of(std::int64_t{42});
    row[11] = batch.add_text(R"({"who":"ann","secret":1,"x":2})");
  }
  made.transform.apply(batch);
  REQUIRE(batch.rows() == 1);
  CHECK(std::string(batch.text(batch.row(0)[10])).starts_with("hmac_sha256:k:"));
  CHECK(batch.text(batch.row(0)[11]) == R"({"who":"***","x":2})");
}

TEST_CASE("what is dropped is in no JSON and no raw row; what other columns show of it stays") {
  Guarded made({drops({"email", "props.city"})});
  CHECK(made.row(ann) == R"(account=1 identity=7 age=41 props={"age":41} ts=x | )"
                         R"({"account":"1","identity":"7","p":{"age":41},"ts":"x"})");
  Guarded whole({drops({"props"})});
  CHECK(whole.row(ann) == R"(account=1 identity=7 email=ann@b.c age=41 ts=x | )"
                          R"({"account":"1","identity":"7","p":{"email":"ann@b.c","age":41,"city":""},"ts":"x"})");
  // A required column that is dropped may come or not.
  CHECK(whole.row(R"({"account":"1","ts":"x"})") == R"(account=1 ts=x | {"account":"1","ts":"x"})");
  // Another column is made of it.
  CHECK_THAT(Guarded({drops({"ts"})}).row(ann), Contains(R"("ts":"x")"));
}

TEST_CASE("once something is masked or dropped, the raw row has nothing that the table has not") {
  TransformStep select;
  select.action = Action::select;
  select.columns = {"account", "person", "age"};
  Guarded made({select, masks({{"person", "hmac_sha256"}})});
  CHECK(made.row(R"({"account":"1","p":{"email":"ann@b.c","age":4},"ts":"canary","more":{"a":"canary"}})") ==
        R"(account=1 age=4 | {"account":"1","p":{"email":"","age":4},"ts":"","more":{}})");
  CHECK_THAT(Guarded({drops({"not_there"})}).row(R"({"account":"1","p":{},"ts":"x","not_there":"canary"})"),
             !Contains("canary"));
  CHECK(Guarded({select}).stream.guard == nullptr);
}

TEST_CASE("fields that are kept in _sluice_extra are masked and dropped there") {
  Guarded made({masks({{"_sluice_extra.mail", "redact"}}), drops({"_sluice_extra.in.x", "phone_number"})},
               NewFields::keep_in_extra);
  CHECK_THAT(
      made.row(R"({"account":"1","p":{},"ts":"x","mail":"canary","in":{"x":"canary","y":2},"phoneNumber":"canary"})"),
      Contains(R"(_sluice_extra={"mail":"***","in":{"y":2}})") && !Contains("canary"));
  CHECK_THAT(Guarded({masks({{"_sluice_extra", "redact"}})}, NewFields::keep_in_extra).fault(),
             Contains("like _sluice_extra.email"));
}

TEST_CASE("masks that would break the table are refused") {
  CHECK(fault({masks({{"account", "hmac_sha256"}})}) ==
        "column 'account' cannot be masked so: it is what tells the slices of the stream apart");
  CHECK(fault({masks({{"person", "redact"}})}) ==
        "column 'person' cannot be masked so: it is part of the key, and redact would make rows alike; take "
        "hmac_sha256");
  CHECK_THAT(fault({masks({{"identity", "partial"}})}),
             Contains("of its values column 'person' is made, which is part of the key, and partial"));
  CHECK_THAT(fault({masks({{"ts", "redact"}})}), Contains("column 'seen' is made, which is timestamp"));
  CHECK_THAT(fault({masks({{"email", "redact"}}), masks({{"props", "partial"}})}),
             Contains("what is in 'props' is masked by redact and by partial"));
  CHECK(fault({masks({{"age", "redact"}}), guard_step(Action::cast, {{"age", "decimal"}})}) ==
        "column 'age' is masked, which makes a text of it: it cannot be cast");
}

TEST_CASE("masks and drops that say nothing are refused with what was meant") {
  CHECK(fault({masks({{"emial", "redact"}})}) == "there is no column 'emial' here; did you mean 'email'?");
  CHECK(fault({masks({{"prop.email", "redact"}})}) == "there is no column 'prop' here; did you mean 'props'?");
  CHECK(fault({masks({{"email", "hmac_sha265"}})}) ==
        "'hmac_sha265' is no way to mask 'email': expected hmac_sha256, redact or partial; did you mean "
        "'hmac_sha256'?");
  CHECK_THAT(fault({guard_step(Action::mask, {{"email", "hmac_sha256"}}, false)}),
             Contains("needs a key") && Contains("mask_key") && Contains("openssl rand -hex 32"));
  CHECK(fault({guard_step(Action::mask, {{"email", "redact"}}, false)}).empty());
  CHECK(fault({masks({{"email.x", "redact"}})}) == "column 'email' is text: only JSON has something inside, like 'x'");
  CHECK(fault({drops({"age.x"})}) == "column 'age' is int64: only JSON has something inside, like 'x'");
  CHECK_THAT(fault({drops({"props.age"})}), Contains("column 'age' reads it"));
  CHECK_THAT(fault({drops({"identity"})}), Contains("'person', part of the key, holds it too"));
  CHECK(
      fault({masks({{"identity", "hmac_sha256"}, {"device", "hmac_sha256"}}), drops({"identity", "device"})}).empty());
}

TEST_CASE("masks follow the names that the steps before them gave") {
  Guarded made({guard_step(Action::rename, {{"email", "mail"}}), masks({{"mail", "redact"}})});
  CHECK_THAT(made.row(ann), Contains("mail=*** "));
}

TEST_CASE("a key that is missing is said before anything is read") {
  Guarded none({masks({{"email", "redact"}})});
  none.transform.load_key();
  Guarded made({masks({{"email", "hmac_sha256"}})});
  made.transform.load_key();
  ::unsetenv("SLUICE_TEST_MASK_KEY");
  Guarded(std::vector<TransformStep>{}).transform.load_key();
  TransformStep step = masks({{"email", "hmac_sha256"}});
  ::unsetenv("SLUICE_TEST_MASK_KEY");
  CHECK_THROWS_AS(Guarded({step}).transform.load_key(), Unresolved);
}
