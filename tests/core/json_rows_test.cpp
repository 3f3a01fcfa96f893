#include "core/json_rows.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.hpp"

using namespace sluice;
using nlohmann::json;

namespace {

struct Taken {
  std::vector<std::string> pages, elements;
  json rows = json::array();
};

Taken take(const std::string& answer, std::size_t piece, std::size_t part_bytes = 1) {
  JsonRowStream stream("results", part_bytes);
  Taken taken;
  for (std::size_t at = 0; at < answer.size(); at += piece) {
    const auto bytes = std::string_view(answer).substr(at, piece);
    stream.feed(bytes);
    for (auto part = stream.next(); part; part = stream.next()) {
      (part->kind == JsonRowStream::Part::Kind::rows ? taken.pages : taken.elements).push_back(part->text);
      if (part->kind == JsonRowStream::Part::Kind::rows)
        for (const auto& row : json::parse(part->text)) taken.rows.push_back(row);
    }
  }
  stream.finish();
  return taken;
}

Remedy failure(const std::string& answer) {
  try {
    take(answer, 3);
  } catch (const Error& error) {
    return error.remedy();
  }
  FAIL("it did not fail");
  return Remedy::give_up;
}

const std::string answer = R"([{"results":[{"a":{"b":"x]},[{\"results\":["}},{"a":[1,[2]]}],"fieldMask":"a.b"}
,
{"fieldMask":"\"results\":[","other":{"results":[{"no":1}]}, "results" : [ ] },
{"note":"q","results":[{"a":3},
{"a":"\\"},{"a":4}]}
])";

}  // namespace

TEST_CASE("an answer is taken apart alike wherever its pieces are cut") {
  const auto whole = take(answer, answer.size());
  CHECK(whole.rows == json::parse(R"([{"a":{"b":"x]},[{\"results\":["}},{"a":[1,[2]]},{"a":3},{"a":"\\"},{"a":4}])"));
  REQUIRE(whole.elements.size() == 3);
  CHECK(whole.elements[0] == R"({"results":[],"fieldMask":"a.b"})");
  CHECK(json::parse(whole.elements[1])["other"]["results"].size() == 1);
  CHECK(whole.pages.size() == 5);
  for (std::size_t piece = 1; piece < 40; ++piece) {
    const auto cut = take(answer, piece);
    CHECK(cut.pages == whole.pages);
    CHECK(cut.elements == whole.elements);
  }
}

TEST_CASE("rows come in parts of the size that was asked for, and an element's end ends a part") {
  std::string many = "[{\"results\":[";
  for (int i = 0; i < 1000; ++i) many += (i ? ",{\"n\":" : "{\"n\":") + std::to_string(i) + "}";
  many += "]}]";
  const auto parts = take(many, 64, 1000);
  CHECK(parts.rows.size() == 1000);
  CHECK(parts.pages.size() > 5);
  for (const auto& page : parts.pages) CHECK(page.size() < 1100);
}

TEST_CASE("one object stands for an array of one; no rows are no part") {
  const auto one = take(R"( {"results":[{"n":1}],"x":2} )", 5);
  CHECK(one.rows.size() == 1);
  CHECK(one.elements.size() == 1);
  CHECK(take("[]", 1).elements.empty());
  CHECK(take(R"([{"fieldMask":"a"}])", 1).pages.empty());
}

TEST_CASE("an answer that breaks off anywhere is not taken for a whole one") {
  for (std::size_t size = 0; size < answer.size(); ++size) {
    CAPTURE(size);
    CHECK(failure(answer.substr(0, size)) == Remedy::retry);
  }
}

TEST_CASE("what is no such answer is told") {
  for (const auto* text :
       {"<html></html>", "[1]", "[[]]", R"([{"results":[]}]])", R"([{"results":[]}]x)", "\"text\""}) {
    CAPTURE(text);
    CHECK(failure(text) == Remedy::retry);
  }
}
