#include "core/retry.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace std::chrono_literals;

namespace {

const RetryPolicy policy{6, 1s, 5min, 15min};

struct Bounds {
  Duration least = Duration::max(), most{};
};

// Over many dice.
Bounds delays(int failures, const Error& error, const RetryPolicy& by = policy) {
  Rng rng(7);
  Bounds seen;
  for (int i = 0; i < 2000; ++i) {
    const auto delay = by.delay(failures, 0s, error, rng);
    REQUIRE(delay);
    seen.least = std::min(seen.least, *delay);
    seen.most = std::max(seen.most, *delay);
  }
  return seen;
}

}  // namespace

TEST_CASE("delays are spread over all of a bound that doubles with each failure, up to the most") {
  const auto [failures, bound] = GENERATE(table<int, Duration>({{1, 1s}, {2, 2s}, {3, 4s}, {5, 16s}}));
  const auto seen = delays(failures, Error(Remedy::retry, "x"));
  CHECK(seen.most <= bound);
  CHECK(seen.most > bound * 9 / 10);
  CHECK(seen.least < bound / 10);
}

TEST_CASE("a delay never exceeds the most, however many failures there were") {
  CHECK(delays(1000, Error(Remedy::retry, "x"), RetryPolicy{2000, 1s, 5min, 15min}).most <= 5min);
}

TEST_CASE("a wait that was asked for is honoured, capped at an hour, and spread") {
  const auto [asked, least] =
      GENERATE(table<Duration, Duration>({{30s, 30s}, {90min, 1h}, {24h * 3650, 1h}, {-5s, 0s}}));
  const auto seen = delays(1, Error(Remedy::retry, "x", asked));
  CHECK(seen.least >= least);
  CHECK(seen.most <= least + 1s);
  CHECK(seen.most > seen.least);
}

TEST_CASE("the tries end by number") {
  Rng rng(1);
  CHECK(policy.delay(5, 0s, Error(Remedy::retry, "x"), rng));
  CHECK_FALSE(policy.delay(6, 0s, Error(Remedy::retry, "x"), rng));
}

TEST_CASE("the tries end by time, which the waits that were asked for do not use up") {
  Rng rng(1);
  CHECK_FALSE(policy.delay(2, 15min, Error(Remedy::retry, "x"), rng));
  CHECK(policy.delay(2, 14min, Error(Remedy::retry, "x", 30min), rng));
}

TEST_CASE("throttles are waited out however often they come") {
  Rng rng(1);
  const auto delay = policy.delay(500, 24h, Error(Remedy::slow_down, "x", 2min), rng);
  REQUIRE(delay);
  CHECK(*delay >= 2min);
  CHECK(*delay <= 2min + 12s);
  CHECK(policy.delay(1, 0s, Error(Remedy::slow_down, "x"), rng) >= 1min);
  CHECK(policy.delay(1, 0s, Error(Remedy::slow_down, "x", 0s), rng) >= 1s);
}

TEST_CASE("what a wait cannot cure is not repeated") {
  Rng rng(1);
  for (const auto remedy : {Remedy::shrink, Remedy::reauthenticate, Remedy::give_up})
    CHECK_FALSE(policy.delay(1, 0s, Error(remedy, "x"), rng));
}
