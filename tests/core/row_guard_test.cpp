#include "core/row_guard.hpp"

#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "core/row_mapper.hpp"

using namespace sluice;
using What = RowGuard::Rule::What;
using Rules = std::vector<RowGuard::Rule>;

namespace {

std::shared_ptr<const Mask> redact() {
  return std::make_shared<Mask>(Mask::Method::redact);
}
std::shared_ptr<const Mask> partly() {
  return std::make_shared<Mask>(Mask::Method::partial);
}

RowGuard::Rule keep(std::string path) {
  return {What::keep, std::move(path), nullptr};
}
RowGuard::Rule drop(std::string path) {
  return {What::drop, std::move(path), nullptr};
}
RowGuard::Rule drop_field(std::string path) {
  return {What::drop_field, std::move(path), nullptr};
}
RowGuard::Rule mask(std::string path, std::shared_ptr<const Mask> by = redact()) {
  return {What::mask, std::move(path), std::move(by)};
}

// What is left of one row.
std::string guarded(Rules rules, const std::string& row, bool keep_unknown = false,
                    std::set<std::string> dropped = {}) {
  const RowGuard guard(std::move(rules), std::move(dropped), keep_unknown);
  std::int64_t repaired = 0;
  const std::string before = R"({ "a":1, "data" : [)", after = "],\"paging\":{}}";
  const auto page = guard.page(before + row + after, "data", false, repaired);
  REQUIRE(page.starts_with(before));
  REQUIRE(page.ends_with(after));
  return page.substr(before.size(), page.size() - before.size() - after.size());
}

}  // namespace

TEST_CASE("what is masked is masked wherever it stands, whatever it is, and the rest stays byte for byte") {
  const Rules rules{keep("id"), keep("profile"), mask("profile/email")};
  CHECK(guarded(rules, R"({"id":12345678901234567890,"profile":{"email":"a@b.c","x": [1, 2.50]}})") ==
        R"({"id":12345678901234567890,"profile":{"email":"***","x":[1, 2.50]}})");
  CHECK(guarded(rules, R"({"profile":{"email":17}})") == R"({"profile":{"email":"***"}})");
  CHECK(guarded(rules, R"({"profile":{"email":{"a":"b"}}})") == R"({"profile":{"email":{"a":"***"}}})");
  CHECK(guarded(rules, R"({"profile":{"email":["a","b"]}})") == R"({"profile":{"email":["***","***"]}})");
  CHECK(guarded(rules, R"({"profile":{"email":null}})") == R"({"profile":{"email":null}})");
  CHECK(guarded(rules, R"({"profile":{"email":"a","email":"b"}})") == R"({"profile":{"email":"***","email":"***"}})");
  CHECK(guarded(rules, R"({"profile":{"em\u0061il":"a"}})") == R"({"profile":{"em\u0061il":"***"}})");
}

TEST_CASE("of JSON that is masked by value the names of members and the empty values stay") {
  CHECK(guarded({mask("p", partly())}, R"({"p":{"n":120208325579370399,"l":["abcdefgh",null,true],"o":{}}})") ==
        R"({"p":{"n":"***0399","l":["***gh",null,"***e"],"o":{}}})");
  CHECK(guarded({mask("p", partly())}, R"({"p":"line\n\"quoted\" 12345678"})") == R"({"p":"***5678"})");
}

TEST_CASE("a path leads through lists, and is matched as it reads") {
  CHECK(guarded({keep("l"), mask("l/e")}, R"({"l":[{"e":"a"},{"e":"b","f":1},[{"e":"c"}]]})") ==
        R"({"l":[{"e":"***"},{"e":"***","f":1},[{"e":"***"}]]})");
  CHECK(guarded({keep("p"), mask("p.a.b")}, R"({"p":{"a":{"b":"x","c":1},"a.b":"y","a.c":2}})") ==
        R"({"p":{"a":{"b":"***","c":1},"a.b":"***","a.c":2}})");
  CHECK(guarded({keep("p"), mask("p.ab")}, R"({"p":{"a":{"b":1},"abc":2,"":3}})") ==
        R"({"p":{"a":{"b":1},"abc":2,"":3}})");
}

TEST_CASE("where a path cannot be followed, what stands there is hidden whole") {
  const Rules rules{keep("profile"), mask("profile/email")};
  CHECK(guarded(rules, R"({"profile":"{\"email\":\"a@b.c\"}"})") == R"({"profile":"***"})");
  CHECK(guarded(rules, R"({"profile":5})") == R"({"profile":"***"})");
  CHECK(guarded(rules, R"({"profile":["a@b.c"]})") == R"({"profile":["***"]})");
  CHECK(guarded(rules, R"("a@b.c")") == R"("***")");
}

TEST_CASE("what no column shows is blank, so that its type can still be seen") {
  CHECK(guarded({keep("id"), keep("in/x")},
                R"({"id":1,"t":"a@b.c","n":-1.5,"b":true,"z":null,"o":{"a":1},"l":[1],"in":{"x":2,"y":"c"}})") ==
        R"({"id":1,"t":"","n":0,"b":false,"z":null,"o":{},"l":[],"in":{"x":2,"y":""}})");
  CHECK(guarded({keep("id"), drop("o/p"), mask("secret")}, R"({"id":1,"t":"x","o":{"p":1,"q":2},"secret":"y"})",
                true) == R"({"id":1,"t":"x","o":{"q":2},"secret":"***"})");
  CHECK(guarded({keep("id")}, R"({"id":1,"someMail":"x","in":{"y":3}})", true, {"some_mail"}) ==
        R"({"id":1,"in":{"y":3}})");
}

TEST_CASE("what is dropped is gone, but for what other columns show of it") {
  CHECK(guarded({keep("p"), drop("p/e")}, R"({"p":{"e":"x","f":1}})") == R"({"p":{"f":1}})");
  CHECK(guarded({keep("p"), drop("p/e")}, R"({"p":{"e":"x"}})") == R"({"p":{}})");
  CHECK(guarded({keep("p"), drop_field("p/e")}, R"({"p":{"e":"x","f":1}})") == R"({"p":{"f":1}})");
  CHECK(guarded({drop_field("p"), keep("p/e")}, R"({"p":{"e":"x","f":"y"}})") == R"({"p":{"e":"x","f":""}})");
  CHECK(guarded({drop_field("p")}, R"({"p":"x"})") == R"({"p":""})");
  CHECK(guarded({drop_field("p"), mask("p")}, R"({"p":"x"})") == R"({"p":"***"})");
  CHECK(guarded({drop_field("t"), keep("t")}, R"({"t":7})") == R"({"t":7})");  // another column is made of it
}

TEST_CASE("pages, lists and single rows are guarded alike, and what is no page is left to the mapper") {
  const RowGuard guard({keep("id"), mask("e")}, {}, false);
  std::int64_t repaired = 0;
  const std::string row = R"({"id":1,"e":"x","u":"y"})", hidden = R"({"id":1,"e":"***","u":""})";
  CHECK(guard.page("[" + row + "," + row + "]", "", false, repaired) == "[" + hidden + "," + hidden + "]");
  CHECK(guard.page("[" + row + "]", "data", true, repaired) == "[" + hidden + "]");
  CHECK(guard.page(row, "data", true, repaired) == hidden);
  CHECK(guard.page(R"({"data":[)" + row + "]}", "data", true, repaired) == R"({"data":[)" + hidden + "]}");
  CHECK(guard.page(R"({"data":[],"data":[)" + row + "]}", "data", false, repaired) ==
        R"({"data":[],"data":[)" + hidden + "]}");
  CHECK(guard.page(R"({"error":1})", "data", false, repaired) == R"({"error":1})");
  CHECK(repaired == 0);
  CHECK(guard.page("[{\"id\":\"\xff\"}]", "", false, repaired) == "[{\"id\":\"\xEF\xBF\xBD\"}]");
  CHECK(repaired == 1);
  for (const auto& broken : std::vector<std::string>{"[" + row, R"([{"e":"x])", R"([{"e")", "[{]"})
    CHECK_THROWS_AS(guard.page(broken, "", false, repaired), Error);
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "[";
  CHECK_THROWS_AS(guard.page("[{\"e\":" + deep, "", false, repaired), Error);
}

TEST_CASE("guarding a row once more changes nothing") {
  const Rules rules{keep("id"), keep("p"), mask("p/a", partly()), mask("p/b"), drop("p/c"), drop_field("d")};
  const auto once = guarded(rules, R"({"id":1,"p":{"a":"ann@example.com","b":[1],"c":1},"d":"x","e":{"f":1}})");
  CHECK(once == R"({"id":1,"p":{"a":"a***@example.com","b":["***"]},"d":"","e":{}})");
  CHECK(guarded(rules, once) == once);
}

TEST_CASE("one value by itself") {
  CHECK(RowGuard({mask("a/b")}, {}, true).value(R"({"a":{"b":"x","c":1}})") == R"({"a":{"b":"***","c":1}})");
  CHECK(RowGuard({mask("a/b")}, {}, true).value(R"({"a.b":"x","c":1})") == R"({"a.b":"***","c":1})");
  CHECK(RowGuard({drop("a")}, {}, true).value(R"({"a":1,"b":2})") == R"({"b":2})");
  CHECK(RowGuard({mask("", partly())}, {}, true).value(R"(["abcdefgh"])") == R"(["***gh"])");
  CHECK(RowGuard({mask("", partly())}, {}, true).value(R"("abcdefgh")") == R"("***gh")");
  CHECK(RowGuard({mask("a")}, {}, true).value("17") == R"("***")");
  CHECK(RowGuard({mask("a")}, {}, true).value("null") == "null");
  CHECK(RowGuard({mask("a")}, {}, true).value(" null\n") == "null");
  CHECK(RowGuard({mask("a")}, {}, true).value("{broken") == R"("***")");
}

TEST_CASE("the mapper sees what the guard leaves: in cells, in the raw row, and in what it says of a bad value") {
  StreamSpec stream;
  stream.columns = {Column("id", Type::text), Column("email", Type::text, "p/email"), Column("n", Type::int64),
                    Column("p", Type::json)};
  stream.key = {"id"};
  stream.guard = std::make_shared<RowGuard>(Rules{mask("id", partly()), mask("p/email"), keep("n"), keep("p")},
                                            std::set<std::string>(), false);
  RowMapper mapper(stream);
  const auto mapped = mapper.map(R"({"data":[{"id":"12345678","p":{"email":"canary"},"n":1},)"
                                 R"({"id":"87654321","p":{"email":"canary","q":1},"n":"many","u":"canary"}]})",
                                 "data");
  REQUIRE(mapped.batch.rows() == 1);
  const auto& batch = mapped.batch;
  CHECK(batch.text(batch.row(0)[0]) == "***78");
  CHECK(batch.text(batch.row(0)[1]) == "***");
  CHECK(batch.text(batch.row(0)[3]) == R"({"email":"***"})");
  REQUIRE(batch.rejects.size() == 1);
  CHECK(batch.rejects[0].key == R"(["***21"])");
  CHECK(batch.rejects[0].raw == R"({"id":"***21","p":{"email":"***","q":1},"n":"many","u":""})");
}

TEST_CASE("paths are compared as they read") {
  CHECK(lies_in("a/b", "a.b"));
  CHECK(lies_in("a/b/c", "a/b"));
  CHECK_FALSE(lies_in("a/bc", "a/b"));
  CHECK_FALSE(lies_in("a", "a/b"));
}

TEST_CASE("an outline has names and types, and no value") {
  CHECK(outline(R"({"records":[{"email":"canary","n":17},{"email":"canary2","n":18},{"x":null}],"ok":true})") ==
        R"({"records":[{"email":"string","n":"number"},{"x":"null"}],"ok":"boolean"})");
  CHECK(outline(R"({"canary@b.c":1,"+9198":2})") == R"({"?":"number"})");
  const std::string deep(100'000, '[');
  CHECK(outline(deep + std::string(100'000, ']')) == R"("200000 bytes that are not one whole JSON document")");
  CHECK(outline("<html>canary") == R"("12 bytes that are not one whole JSON document")");
}
