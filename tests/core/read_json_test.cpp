#include "core/read_json.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace sluice;
using nlohmann::json;

TEST_CASE("an answer is read although its text is not what databases take") {
  CHECK(read_json(R"({"a":[1,"x"]})") == json{{"a", {1, "x"}}});
  CHECK(read_json("\xEF\xBB\xBF[1]") == json{1});
  CHECK(read_json("[\"a\xff\"]") == json{"a\uFFFD"});
  CHECK(read_json({"[\"a\0\"]", 6}) == json{"a\uFFFD"});
  CHECK(read_json(R"(["\ud83d"])") == json{"\uFFFD"});
}

TEST_CASE("what is no JSON is discarded, and so is what is nested so deeply that walking it would end the process") {
  for (const auto* text : {"", "{", "[1,]", "<html>", "1e999", "[1] 2"}) CHECK(read_json(text).is_discarded());
  const auto nested = [](std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  CHECK(read_json(nested(1000)).is_array());
  CHECK(read_json(nested(1001)).is_discarded());
  CHECK(read_json("{\"error\":" + nested(1'000'000) + "}").is_discarded());
}
