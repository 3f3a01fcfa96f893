#include "core/clean_text.hpp"

#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/json_text.hpp"

using namespace sluice;

namespace {

// The text as databases take it, and how many characters were put in: "a?|1", with ? for U+FFFD.
std::string shown(const std::string& text, std::int64_t repaired) {
  std::string out = text;
  for (auto at = out.find("\uFFFD"); at != std::string::npos; at = out.find("\uFFFD")) out.replace(at, 3, "?");
  return out + "|" + std::to_string(repaired);
}
std::string cleaned(std::string_view text) {
  std::int64_t repaired = 0;
  const auto clean = clean_text(text, repaired);
  CHECK(is_clean_text(text) == (repaired == 0));
  return shown(clean, repaired);
}

}  // namespace

TEST_CASE("what is not UTF-8, and U+0000, become U+FFFD, one for each run that begins like a character") {
  CHECK(cleaned("a\u00e9\u20ac\U0001F600") == "a\u00e9\u20ac\U0001F600|0");
  CHECK(cleaned("") == "|0");
  CHECK(cleaned({"a\0b\0", 4}) == "a?b?|2");
  CHECK(cleaned("eight plain letters and \xff") == "eight plain letters and ?|1");
  CHECK(cleaned("\xe2\x82|\xf0\x9f\x98") == "?|?|2");               // cut off
  CHECK(cleaned("\xc0\xaf|\xe0\x80\x80") == "??|???|5");            // overlong
  CHECK(cleaned("\xed\xa0\x80|\xf4\x90\x80\x80") == "???|????|7");  // surrogates, and beyond U+10FFFF
}

TEST_CASE("repaired text is clean, and clean text is left alone") {
  CHECK(rc::check([](const std::string& bytes) {
    std::int64_t repaired = 0;
    const auto clean = clean_text(bytes, repaired);
    RC_ASSERT(is_clean_text(clean));
    RC_ASSERT(clean_text(clean) == clean);
    RC_ASSERT((clean == bytes) == (repaired == 0));
  }));
}

TEST_CASE("a cell is repaired in its batch; JSON by its escapes too; bytes are left alone") {
  Batch batch(1);
  batch.add_row();
  const auto clean = [&](std::string_view text, Type type) {
    batch.repaired = 0;
    auto cell = batch.add_text(text);
    if (!clean_cell(batch, cell, type)) return std::string("not JSON");
    return shown(std::string(batch.text(cell)), batch.repaired);
  };
  CHECK(clean("a\xff", Type::text) == "a?|1");
  CHECK(clean("1.5\xff", Type::decimal) == "1.5?|1");
  CHECK(clean("a\xff", Type::bytes) == "a\xff|0");
  CHECK(clean("[\"\\u0000\xff\", \"\\ud83d\\ude00\\ud83d\\\\u0000\"]", Type::json) ==
        "[\"\\ufffd?\", \"\\ud83d\\ude00\\ufffd\\\\u0000\"]|3");
  CHECK(clean("{\"a\": ", Type::json) == "not JSON");
  Cell number = Cell::of(std::int64_t{1});
  CHECK(clean_cell(batch, number, Type::json));
}

TEST_CASE("the JSON checker agrees with a full parser") {
  CHECK(rc::check("valid = parsed", [] {
    const auto pieces = *rc::gen::container<std::vector<std::string>>(
        rc::gen::elementOf(std::vector<std::string>{"{", "}", "[", "]", ",", ":", "\"a\"", "\"\\n\"", "1", "-0", "0.5",
                                                    "1E+2", "true", "false", "null", " ", "\n", "\"", "tru"}));
    std::string json;
    for (const auto& piece : pieces) json += piece;
    RC_ASSERT((check_json(json) != JsonState::broken) == nlohmann::json::accept(json));
  }));
}

TEST_CASE("a document that is too long keeps the first elements of its outermost lists, and is JSON") {
  const std::string rows = R"({"a":["x,]","y"],"t":"\\\"["},{"a":[1,2]},{"a":3},{"a":4})";
  const auto cut = [](const std::string& text, std::size_t most) { return shortened_json(text, most); };
  CHECK(cut(R"({"rows":[1,2]})", 100) == R"({"rows":[1,2]})");
  CHECK(cut("[" + rows + "]", 36) == R"([{"a":["x,]","y"],"t":"\\\"["}])");
  CHECK(cut("[" + rows + "]", 58) == R"([{"a":["x,]","y"],"t":"\\\"["},{"a":[1,2]}])");
  CHECK(cut(R"({"s":10,"rows":[)" + rows + R"(],"next":"c"})", 58) ==
        R"({"s":10,"rows":[{"a":["x,]","y"],"t":"\\\"["}],"next":"c"})");
  CHECK(cut(R"({"a":["01234567890123456789","x"],"b":[1,"01234567890123456789"]})", 60) ==
        R"({"a":["01234567890123456789","x"],"b":[1]})");
  // What has no list, or is no JSON, is cut.
  CHECK(cut(R"({"a":"0123456789"})", 8) == R"({"a":"01)");
  CHECK(cut("<html>, no JSON", 6) == "<html>");
  CHECK(cut("]]],,,[[[\"", 4) == "]]],");
}
