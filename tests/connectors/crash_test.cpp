// A crash before and after every request and every publish of a run. Restarted, sluice ends with exactly the tables of
// a run that was never disturbed. The same for a run that is cancelled there.
#include "tests/connectors/machine.hpp"

using namespace sluice;
using test::Machine;

namespace {

const test::Case& any_case() {
  static const auto all = test::cases();
  return all[static_cast<std::size_t>(GENERATE_COPY(range(0, static_cast<int>(all.size()))))];
}

}  // namespace

TEST_CASE("a crash before and after every request and publish of any stream loses and doubles nothing") {
  const auto& of = any_case();
  CAPTURE(of.type, of.stream);
  Machine calm(of);
  REQUIRE(calm.live(0));
  const auto expected = calm.table();
  REQUIRE_FALSE(expected.empty());
  const int steps = calm.steps();
  REQUIRE(steps > 3);
  for (int step = 1; step <= steps; ++step) {
    CAPTURE(step);
    Machine machine(of);
    CHECK_FALSE(machine.live(step));
    CHECK(machine.live(0));
    CHECK(machine.table() == expected);
    if (calm.by_days()) CHECK(machine.done_to() == calm.done_to());
  }
}

TEST_CASE("a run that is cancelled at any request or publish of any stream ends, and the next one completes it") {
  const auto& of = any_case();
  CAPTURE(of.type, of.stream);
  Machine calm(of);
  REQUIRE(calm.live(0));
  const auto expected = calm.table();
  const int steps = calm.steps();
  for (int step = 1; step <= steps; ++step) {
    CAPTURE(step);
    Machine machine(of);
    const auto ended = machine.cancelled(step);
    REQUIRE(ended);
    CHECK(ended->outcome == Outcome::cancelled);
    CHECK(machine.live(0));
    CHECK(machine.table() == expected);
  }
}
