#include "core/check.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace std::chrono_literals;

TEST_CASE("clocks may differ by a minute, certificates need thirty days, and are worth nothing after their end") {
  const auto noon = *parse_instant("2026-03-02T12:00:00Z");
  CHECK_FALSE(clock_finding(noon, noon + 60s, "theirs"));
  CHECK(clock_finding(noon, noon + 61s, "theirs")->message.starts_with("this machine's clock is 1m1s behind theirs"));
  CHECK(clock_finding(noon + 61s, noon, "theirs")->message.starts_with("this machine's clock is 1m1s ahead of theirs"));

  CHECK_FALSE(certificate_finding(noon + 30 * 24h, noon, "its"));
  const auto soon = certificate_finding(noon + 30 * 24h - 1s, noon, "its");
  REQUIRE(soon);
  CHECK(soon->level == Finding::Level::warning);
  CHECK(soon->message ==
        "its certificate ends on 2026-04-01, in 29 days: have it renewed, or connections are refused then");
  const auto over = certificate_finding(noon - 24h, noon, "its");
  REQUIRE(over);
  CHECK(over->level == Finding::Level::error);
  CHECK(over->message == "its certificate ended on 2026-03-01: have it renewed, connections are refused");
}
