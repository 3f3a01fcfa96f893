#include "core/slice.hpp"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("a slice is read again from its id, whatever its partition is called") {
  for (const std::string partition : {"act_1", "", "Charged", "Cart/Checkout", "(odd)/(name]"}) {
    const Partition of(partition);
    for (const auto& slice :
         {Slice::days(of, Day(2026, 3, 1), Day(2026, 3, 2)), Slice::days(of, Day(2026, 3, 1), Day(2026, 3, 8)),
          Slice::whole(of), Slice::values(of, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
          Slice::values(of, {}, "1234")}) {
      INFO(slice.id());
      const auto again = parse_slice(slice.id());
      REQUIRE(again);
      CHECK(again->id() == slice.id());
      CHECK(again->partition().id == partition);
      CHECK(again->window() == slice.window());
      CHECK((again->day_window() != nullptr) == (slice.day_window() != nullptr));
    }
  }
  for (const auto* other :
       {"", "act_1", "act_1/", "act_1/2026-13-01", "act_1/2026-03-02..2026-03-01", "act_1/1, 2]", "act_1/(1]"})
    CHECK_FALSE(parse_slice(other));
}
