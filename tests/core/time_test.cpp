#include "core/time.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace std::chrono_literals;

TEST_CASE("durations need a unit and read back as they are written") {
  CHECK(parse_duration("30s") == 30s);
  CHECK(parse_duration("1h30m") == 90min);
  CHECK(parse_duration("250ms") == 250ms);
  for (const auto* bad : {"", "30", "s", "-5s", "-0s", "1h-0s", "5 m", "5x", "99999999999d"})
    CHECK_FALSE(parse_duration(bad));
  for (const auto d : {Duration(0), Duration(1), Duration(90min), Duration(36h), Duration(1500ms)})
    CHECK(parse_duration(format_duration(d)) == d);
}

TEST_CASE("sizes need a unit") {
  CHECK(parse_size("32MiB") == 32 << 20);
  CHECK(format_size(64 << 20) == "64MiB");
  for (const auto* bad : {"", "32", "MiB", "32MB", "1.5GiB"}) CHECK_FALSE(parse_size(bad));
}

TEST_CASE("instants are read in every form that the sources write") {
  const auto when = parse_instant("2024-03-02T23:02:47Z");
  REQUIRE(when);
  CHECK(parse_instant("2024-03-02T15:02:47-0800") == when);
  CHECK(parse_instant("2024-03-02T15:02:47-08:00") == when);
  CHECK(parse_instant("2024-03-02 23:02:47.000000+00:00") == when);
  CHECK(format_instant(*when) == "2024-03-02T23:02:47Z");
  CHECK(format_instant(*when + 250ms) == "2024-03-02T23:02:47.25Z");
  for (const auto* bad : {"", "2024-03-02", "2024-03-02T15:02:47", "2024-02-30T00:00:00Z", "2024-03-02T25:00:00Z",
                          "2024-03-02T15:02:47Zx", "2024-03-02T15:02:47."})
    CHECK_FALSE(parse_instant(bad));
}

TEST_CASE("a day starts at the first instant that exists on it") {
  const auto sao_paulo = load_zone("America/Sao_Paulo");
  REQUIRE(sao_paulo);
  // Midnight of 2018-11-04 was skipped: the day began at 01:00.
  CHECK(format_instant(start_of(Day(2018, 11, 4), *sao_paulo)) == "2018-11-04T03:00:00Z");
  CHECK(day_of(*parse_instant("2018-11-04T02:59:59Z"), *sao_paulo) == Day(2018, 11, 3));
  CHECK(day_of(*parse_instant("2018-11-04T03:00:00Z"), *sao_paulo) == Day(2018, 11, 4));
  CHECK_FALSE(load_zone("Europe/Londn"));
}

TEST_CASE("days that do not exist are refused") {
  CHECK(parse_day("2024-02-29"));
  CHECK_FALSE(parse_day("2023-02-29"));
  CHECK_FALSE(parse_day("2023-2-2"));
}
