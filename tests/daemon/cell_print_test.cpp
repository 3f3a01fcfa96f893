#include "daemon/cell_print.hpp"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("a cell is printed as JSON: JSON columns as they are, all else as texts") {
  CHECK(json_of(R"([{"value": 0.12345678901234567890}])", Type::json) == R"([{"value": 0.12345678901234567890}])");
  CHECK(json_of("[1", Type::json) == R"("[1")");
  CHECK(json_of("[1]", Type::text) == R"("[1]")");
  CHECK(json_of("12.50", Type::decimal) == R"("12.50")");
  CHECK(json_of(std::nullopt, Type::json) == "null");
}
