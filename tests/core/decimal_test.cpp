#include "core/decimal.hpp"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("a decimal has one canonical text, whatever its length and way of writing") {
  const std::pair<const char*, const char*> cases[] = {
      {"0", "0"},
      {"-0", "0"},
      {"-0.000", "0"},
      {"+14.50", "14.5"},
      {"007", "7"},
      {".5", "0.5"},
      {"5.", "5"},
      {"600.0", "600"},
      {"1.5e3", "1500"},
      {"15E-1", "1.5"},
      {"1e-7", "0.0000001"},
      {"9007199254740993", "9007199254740993"},
      {"123456789012345678901234567890.123456789012345678901234567890",
       "123456789012345678901234567890.12345678901234567890123456789"},
  };
  for (const auto& [written, canonical] : cases) {
    INFO(written);
    CHECK(canonical_decimal(written) == canonical);
    CHECK(is_canonical_decimal(canonical));
    CHECK(is_canonical_decimal(written) == (std::string(written) == canonical));
  }
}

TEST_CASE("what is not a number, or one that no database could hold, is refused") {
  for (const auto* bad : {"", "-", ".", "e3", "NaN", "Infinity", "1,234.5", "1 ", " 1", "1e400", "1e-400", "1e", "1e+",
                          "1e+-5", "0x10", "--1", "1.2.3"}) {
    INFO(bad);
    CHECK_FALSE(canonical_decimal(bad));
    CHECK_FALSE(is_canonical_decimal(bad));
  }
}

TEST_CASE("rounding is half away from zero and refuses what does not fit") {
  CHECK(round_decimal("14.345", 18, 2) == "14.35");
  CHECK(round_decimal("-14.345", 18, 2) == "-14.35");
  CHECK(round_decimal("9.995", 18, 2) == "10");
  CHECK(round_decimal("0.004", 18, 2) == "0");
  CHECK(round_decimal("0.05", 18, 1) == "0.1");
  CHECK(round_decimal("-0.04", 18, 1) == "0");
  CHECK(round_decimal("999.9", 4, 1) == "999.9");
  CHECK(round_decimal("0.5", 2, 2) == "0.5");
  CHECK_FALSE(round_decimal("999.95", 4, 1));
  CHECK_FALSE(round_decimal("1234", 5, 2));
}

TEST_CASE("a decimal becomes an integer only where that is exact") {
  CHECK(decimal_to_int64("-9223372036854775808") == INT64_MIN);
  CHECK(decimal_to_int64("9223372036854775807") == INT64_MAX);
  for (const auto* bad : {"9223372036854775808", "1.5", ""}) CHECK_FALSE(decimal_to_int64(bad));
}
