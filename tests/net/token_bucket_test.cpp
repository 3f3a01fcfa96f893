#include "net/token_bucket.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace std::chrono_literals;

namespace {

constexpr RateLimit ten_a_second{10, 20, 0.75, 0.30};

// How many calls of `priority` leave in `span`, asking as early as the bucket lets them; `now` moves on.
int calls_in(TokenBucket& bucket, Duration& now, Duration span, Priority priority = Priority::scheduled) {
  const auto end = now + span;
  int calls = 0;
  while (true) {
    const auto wait = bucket.wait(now, 1, priority, {});
    if (now + wait >= end) break;
    now += wait;
    bucket.take(now, 1, priority);
    ++calls;
  }
  now = end;
  return calls;
}

}  // namespace

TEST_CASE("a bucket gives its burst at once and then its rate") {
  TokenBucket bucket(ten_a_second, 0s);
  Duration now{};
  CHECK(calls_in(bucket, now, 1ms) == 20);
  CHECK(calls_in(bucket, now, 10s) == Approx(100).margin(1));
}

TEST_CASE("an idle bucket fills up to its burst and no further") {
  TokenBucket bucket(ten_a_second, 0s);
  Duration now{};
  calls_in(bucket, now, 10s);
  now += 1h;
  CHECK(bucket.tokens(now) == Approx(20));
  CHECK(calls_in(bucket, now, 1ms) == 20);
}

TEST_CASE("asking how long to wait takes nothing") {
  TokenBucket bucket({1, 1, 0.75, 0.3}, 0s);
  for (int i = 0; i < 5; ++i) CHECK(bucket.wait(0s, 1, Priority::scheduled, {}) == 0s);
  bucket.take(0s, 1, Priority::scheduled);
  for (int i = 0; i < 5; ++i) CHECK(bucket.wait(0s, 1, Priority::scheduled, {}) == 1s);
}

TEST_CASE("a caller waits for those in front of it too") {
  TokenBucket bucket({1, 1, 0.75, 0.3}, 0s);
  TokenBucket::Ahead ahead;
  ahead.scheduled = 3;
  CHECK(bucket.wait(0s, 1, Priority::scheduled, ahead) == 3s);
}

TEST_CASE("a call that costs more than the bucket holds leaves when it is full, and the next ones wait for it") {
  TokenBucket bucket({1, 5, 0.75, 0.3}, 0s);
  CHECK(bucket.wait(0s, 50, Priority::scheduled, {}) == 0s);
  bucket.take(0s, 50, Priority::scheduled);
  CHECK(bucket.wait(0s, 1, Priority::scheduled, {}) == 46s);
}

TEST_CASE("backfills leave the reserve to scheduled runs") {
  TokenBucket bucket(ten_a_second, 0s);
  Duration now{};
  CHECK(calls_in(bucket, now, 1ms, Priority::backfill) == 14);
  CHECK(calls_in(bucket, now, 100s, Priority::backfill) == Approx(700).margin(1));
  SECTION("a scheduled call finds its share untouched") {
    CHECK(bucket.wait(now, 6, Priority::scheduled, {}) == 0s);
  }
  SECTION("scheduled calls may take everything") {
    calls_in(bucket, now, 1s);
    CHECK(calls_in(bucket, now, 100s) == Approx(1000).margin(1));
  }
}

TEST_CASE("the rate falls before the quota is used up") {
  struct Scenario {
    double used, scheduled, backfill;  // share of the quota used → calls a second
  };
  // Target 75 %: scheduled runs slow down from 60 %, backfills (target 52.5 %) from 42 %.
  // Beyond the target one call each 30 s finds out, and ever fewer.
  const auto [used, scheduled, backfill] = GENERATE(values<Scenario>({{0, 10, 7},
                                                                      {0.42, 10, 7},
                                                                      {0.4725, 10, 3.5},
                                                                      {0.525, 10, 1.0 / 30},
                                                                      {0.60, 10, 1.0 / 73},
                                                                      {0.675, 5, 1.0 / 115},
                                                                      {0.75, 1.0 / 30, 1.0 / 158},
                                                                      {0.95, 1.0 / 246, 1.0 / 272},
                                                                      {0.999, 1.0 / 299, 1.0 / 300}}));
  CAPTURE(used);
  const auto priority = GENERATE(Priority::scheduled, Priority::backfill);
  TokenBucket bucket(ten_a_second, 0s);
  Duration now = 1h;
  bucket.usage(now, used, {});
  calls_in(bucket, now, 1min, priority);  // the burst
  CHECK(calls_in(bucket, now, 1000s, priority) / 1000.0 ==
        Approx(priority == Priority::scheduled ? scheduled : backfill).margin(0.0015));
}

TEST_CASE("when usage falls again the full rate comes back") {
  TokenBucket bucket(ten_a_second, 0s);
  bucket.usage(0s, 0.75, {});
  CHECK(bucket.rate() == Approx(1.0 / 30));
  bucket.usage(2min, 0.10, {});
  CHECK(bucket.rate() == Approx(10));
  CHECK(bucket.utilization() == 0.10);
}

TEST_CASE("the highest of several readings of the last minute counts") {
  TokenBucket bucket(ten_a_second, 0s);
  bucket.usage(0s, 0.675, {});
  bucket.usage(1s, 0.05, {});  // another header of the same bucket
  CHECK(bucket.rate() == Approx(5));
  bucket.usage(61s, 0.05, {});
  CHECK(bucket.rate() == Approx(10));
}

TEST_CASE("a used-up quota pauses for as long as the API says, at most an hour at a time") {
  TokenBucket bucket(ten_a_second, 0s);
  struct Scenario {
    double used;
    std::optional<Duration> regain;
    Duration pause;
  };
  const auto [used, regain, pause] = GENERATE(values<Scenario>(
      {{1.18, 47min, 47min}, {1.18, 0s, 1min}, {1.0, {}, 1min}, {0.3, 5min, 5min}, {1.5, 24h * 400, 1h}}));
  CHECK(bucket.usage(10s, used, regain));
  CHECK(bucket.paused_until() == 10s + pause);
  CHECK(bucket.wait(10s, 1, Priority::scheduled, {}) >= pause);
  CHECK_FALSE(bucket.usage(11s, used, regain));  // the same trouble
}

TEST_CASE("a throttle pauses, then one call finds out, at half the rate") {
  TokenBucket bucket(ten_a_second, 0s);
  CHECK(bucket.throttled(0s, 5min, 0));
  CHECK(bucket.wait(0s, 1, Priority::scheduled, {}) == 5min);
  CHECK(bucket.wait(5min - 1s, 1, Priority::scheduled, {}) == 1s);
  Duration now = 5min;
  CHECK(calls_in(bucket, now, 1ms) == 1);
  CHECK(calls_in(bucket, now, 10s) == Approx(50).margin(1));
}

TEST_CASE("calls that were under way when the first was refused do not halve the rate again") {
  TokenBucket bucket(ten_a_second, 0s);
  CHECK(bucket.throttled(0s, 1min, 0));
  for (int i = 1; i < 9; ++i) CHECK_FALSE(bucket.throttled(std::chrono::milliseconds(i), 1min, 0));
  CHECK(bucket.rate() == Approx(5));
}

TEST_CASE("successes bring the rate back step by step") {
  TokenBucket bucket(ten_a_second, 0s);
  bucket.throttled(0s, 1min, 0);
  bucket.succeeded(30s);  // left before the pause
  CHECK(bucket.rate() == Approx(5));
  for (Duration now = 1min; now < 1min + 5s; now += 100ms) bucket.succeeded(now);
  CHECK(bucket.rate() == Approx(5.5));
  for (Duration now = 1min + 5s; now < 3min; now += 1s) bucket.succeeded(now);
  CHECK(bucket.rate() == Approx(10));
}

TEST_CASE("an API that goes on refusing is asked less and less often, and it is one trouble") {
  TokenBucket bucket(ten_a_second, 0s);
  Duration now{};
  std::vector<Duration> pauses;
  int troubles = 0;
  for (int i = 0; i < 9; ++i) {
    troubles += bucket.throttled(now, {}, 0);
    pauses.push_back(bucket.paused_until() - now);
    now = bucket.paused_until();
  }
  CHECK(pauses == std::vector<Duration>{1min, 2min, 4min, 8min, 16min, 32min, 1h, 1h, 1h});
  CHECK(troubles == 1);
  bucket.succeeded(now);
  CHECK(bucket.throttled(now + 1s, {}, 0));
  CHECK(bucket.paused_until() == now + 1s + 1min);
}

TEST_CASE("what the API asks for is kept between a second and an hour") {
  const auto [asked, pause] = GENERATE(table<Duration, Duration>({{0s, 1s}, {30s, 30s}, {24h * 365, 1h}}));
  TokenBucket bucket(ten_a_second, 0s);
  bucket.throttled(0s, asked, 0);
  CHECK(bucket.paused_until() == pause);
}

TEST_CASE("luck makes a pause up to a tenth longer") {
  TokenBucket bucket(ten_a_second, 0s);
  bucket.throttled(0s, 100s, 0.5);
  CHECK(bucket.paused_until() == 105s);
}
