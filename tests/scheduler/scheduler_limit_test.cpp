#include "tests/scheduler/scheduler_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("no more than the limit run at once, and those that wait go in the order they fell due") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "1 13 * * *"), pipeline("c", "3 13 * * *"),
               pipeline("d", "2 13 * * *"), pipeline("e", "4 13 * * *")});
  lives.limit = 2;
  for (const auto* name : {"a", "b", "c", "d", "e"}) lives.plays[name] = {Play(10min)};
  lives.at("13:05", [&] {
    CHECK(lives.status("c").waiting);
    CHECK_THROWS_WITH(lives.scheduler->trigger("c"), Catch::Contains("limits.concurrent_runs"));
  });
  lives.live_until("14:00");
  CHECK(lives.happened() == Texts{"13:00 a", "13:01 b", "13:10 d", "13:11 c", "13:20 e"});
  CHECK(lives.most_running == 2);
  CHECK(lives.requests.back().record.delay == 16min);
}

TEST_CASE("a fire that waits for others too long is dropped by its deadline") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "1 * * * *").start_deadline(10min)});
  lives.limit = 1;
  lives.plays["a"] = {Play(70min)};
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"12:01 b", "13:00 a", "14:01 b missed 13:01 (deadline)", "14:10 b"});
}

TEST_CASE("ten thousand pipelines fire in their minute") {
  Lives lives;
  lives.limit = 10'000;
  for (int i = 0; i < 10'000; ++i)
    lives.pipelines.push_back(pipeline(fmt::format("p{:04}", i), "0 * * * *").jitter(1min));
  lives.live_until("14:30");
  CHECK(lives.requests.size() == 20'000);
  for (const auto& request : lives.requests) REQUIRE(request.record.delay == 0s);
}

TEST_CASE("a thousand missed fires of one pipeline let the others have their turn") {
  Lives lives({pipeline("a", "* * * * *").missed(Missed::all), pipeline("b", "0 15 * * *")});
  lives.limit = 1;
  lives.away("12:30:30", "14:59:30");
  for (int i = 0; i < 5; ++i) lives.plays["a"].emplace_back(10min);
  lives.live_until("15:12");
  const auto happened = lives.happened();
  CHECK(std::count(happened.begin(), happened.end(), "15:09:30 b") == 1);
}

TEST_CASE("a backfill is a run like the others, and fires go first") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 13 * * *"), pipeline("c", "6 13 * * *")});
  lives.limit = 2;
  for (const auto* name : {"a", "b", "c"}) lives.plays[name] = {Play(10min)};
  lives.backfill_at("13:05", "x", 1h);
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b", "13:10 c", "13:10 x backfill"});
  CHECK(lives.most_running == 2);
  CHECK(lives.scheduler->running() == 0);
}

TEST_CASE("backfills leave a place to the fires where there are several") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.limit = 3;
  for (const auto* name : {"w", "x", "y"}) lives.backfill_at("12:10", name, 1h);
  lives.at("12:30", [&] { CHECK(lives.scheduler->running() == 2); });
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"12:10 w backfill", "12:10 x backfill", "13:00 a", "13:10 y backfill"});
}

TEST_CASE("the only place is a backfill's as long as no fire wants it") {
  Lives lives({pipeline("a", "0 * * * *")});
  lives.limit = 1;
  lives.plays["a"] = {Play(20min)};
  lives.backfill_at("13:10", "x", 50min);
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"13:00 a", "13:20 x backfill", "14:10 a"});
}

TEST_CASE("a backfill that waits is not begun while the daemon drains") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.limit = 1;
  lives.plays["a"] = {Play(30min)};
  lives.backfill_at("13:05", "x", 1min);
  lives.drain_at("13:10", 1h);
  lives.live_and_stop_at("14:30");
  CHECK(lives.happened() == Texts{"13:00 a"});
}

TEST_CASE("a backfill that goes on may end while the daemon drains, within its time") {
  Lives lives;
  lives.backfill_at("13:00", "x", 30min);
  lives.drain_at("13:10", 1h);
  lives.live_and_stop_at("14:30");
  CHECK(Lives::text(lives.drained) == "13:30");
}

TEST_CASE("a drain does not wait longer for a backfill than it is given") {
  Lives lives;
  lives.backfill_at("13:00", "x", 3h);
  lives.drain_at("13:10", 1h);
  lives.live_and_stop_at("14:30");
  CHECK(Lives::text(lives.drained) == "14:10");
}

TEST_CASE("a new limit counts for what waits, and ends nothing") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 13 * * *"), pipeline("c", "0 13 * * *")});
  lives.limit = 1;
  for (const auto* name : {"a", "b", "c"}) lives.plays[name] = {Play(10min), Play(10min)};
  lives.at("13:05", [&] { lives.scheduler->set_concurrent_runs(3); });
  lives.live_until("13:30");
  CHECK(lives.happened() == Texts{"13:00 a", "13:05 b", "13:05 c"});
  lives.pipelines = {every("a", 1h), every("b", 1h), every("c", 1h)};
  lives.limit = 3;
  lives.at("14:05", [&] { lives.scheduler->set_concurrent_runs(1); });
  lives.live_until("14:55");
  CHECK(lives.most_running == 3);
  CHECK(lives.happened().size() == 3);
}
