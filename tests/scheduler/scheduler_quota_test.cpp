#include "tests/scheduler/scheduler_fixture.hpp"

// A run that ends because a quota of the day is used up, and what becomes of the pipeline until it is back.

using namespace sluice;
using namespace sluice::test;

namespace {

Play exhausted(Duration wait, Outcome outcome = Outcome::failed) {
  Play play(1min, outcome, true);
  play.wait = wait;
  return play;
}

}  // namespace

TEST_CASE("a run that a quota ended comes again when the quota is back, however often, and that is no retry") {
  Lives lives({pipeline("a", "0 13 * * *").retry_after(5min)});
  lives.plays["a"] = {exhausted(2h), exhausted(2h), exhausted(2h), Play(1min, Outcome::failed, true)};
  lives.live_until("23:00");
  CHECK(lives.happened() == Texts{"13:00 a", "15:01 a", "17:02 a", "19:03 a", "19:09 a attempt 2"});
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(lives.planned(i) == "13:00");
    CHECK(lives.requests[i].record.delay == 0s);
  }
}

TEST_CASE("fires that fall due while a quota is used up are not started but missed") {
  Lives lives({pipeline("a", "0 * * * *")});
  lives.plays["a"] = {exhausted(150min)};
  lives.at("14:30", [&] {
    const auto status = lives.status("a");
    CHECK(status.next_retry == Lives::time("15:31"));
    CHECK(status.next_fire == Lives::time("15:00"));
    CHECK_FALSE(status.waiting);
    CHECK(status.consecutive_failures == 1);
  });
  lives.live_until("16:30");
  CHECK(lives.happened() ==
        Texts{"13:00 a", "14:00 a missed 14:00 (overlap)", "15:00 a missed 15:00 (overlap)", "15:31 a", "16:00 a"});
  CHECK(lives.state.pipelines["a"].last_planned == Lives::time("16:00"));
}

TEST_CASE("for overlap a run that waits for its quota goes on: queue keeps the newest fire behind it") {
  Lives lives({pipeline("a", "0 * * * *").overlap(Overlap::queue)});
  lives.plays["a"] = {exhausted(150min)};
  lives.live_until("15:50");
  CHECK(lives.happened() == Texts{"13:00 a", "15:00 a missed 14:00 (overlap)", "15:31 a", "15:32 a"});
  CHECK(lives.planned(1) == "13:00");
  CHECK(lives.planned(2) == "15:00");
}

TEST_CASE("for overlap a run that waits for its quota goes on: replace gives its place to the newest fire") {
  Lives lives({pipeline("a", "0 * * * *").overlap(Overlap::replace)});
  lives.plays["a"] = {exhausted(150min)};
  lives.live_until("15:50");
  CHECK(lives.happened() == Texts{"13:00 a", "15:00 a missed 14:00 (overlap)", "15:31 a"});
  CHECK(lives.planned(1) == "15:00");
}

TEST_CASE("missed: all waits for the quota in its order") {
  Lives lives({pipeline("a", "0 * * * *").missed(Missed::all)});
  lives.away("12:30", "14:10");
  lives.plays["a"] = {exhausted(150min)};
  lives.live_until("17:30");
  CHECK(lives.happened() == Texts{"14:10 a up to 13:00", "15:00 a missed 15:00 (overlap)",
                                  "16:00 a missed 16:00 (overlap)", "16:41 a up to 14:00", "17:00 a"});
}

TEST_CASE("a run that is started by hand does not wait for the quota, and takes the place of the one that does") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 13 * * *").overlap(Overlap::queue)});
  lives.plays["a"] = {exhausted(5h)};
  lives.plays["b"] = {exhausted(5h), exhausted(3h)};
  lives.at("14:30", [&] {
    CHECK(lives.scheduler->trigger("a"));
    CHECK(lives.scheduler->trigger("b"));
  });
  lives.live_until("23:00");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b", "14:30 a manual", "14:30 b manual", "17:31 b manual"});
}

TEST_CASE("a quota that ended a part of the run, perhaps one account's, does not keep the next fire from the others") {
  Lives lives({pipeline("a", "0 * * * *").retry_after(5min), pipeline("b", "0 13 * * *").retry_after(5min)});
  lives.plays["a"] = {exhausted(150min, Outcome::partial)};
  lives.plays["b"] = {exhausted(150min, Outcome::partial)};
  lives.live_until("15:50");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b", "14:00 a", "15:00 a", "15:31 b"});
}

TEST_CASE("a run that waits for its quota is dropped by cancel, and by a pause") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 13 * * *")});
  lives.plays["a"] = lives.plays["b"] = {exhausted(2h)};
  lives.at("14:00", [&] { lives.scheduler->cancel("a", "by ops"); });
  lives.pause_at("14:00", "b");
  lives.resume_at("14:10", "b");
  lives.at("14:20", [&] {
    CHECK_FALSE(lives.status("a").next_retry);
    CHECK_FALSE(lives.status("b").next_retry);
  });
  lives.live_until("20:00");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b"});
}

TEST_CASE("a dependent run that waits for its quota is not started by another success") {
  Lives lives({pipeline("a", "0 * * * *"), after("c", {"a"})});
  lives.plays["c"] = {exhausted(90min)};
  lives.live_until("15:30");
  CHECK(lives.happened() ==
        Texts{"13:00 a", "13:01 c dependency", "14:00 a", "14:32 c dependency", "15:00 a", "15:01 c dependency"});
}

TEST_CASE("a run waits its time for the quota, whatever the wall clock does meanwhile") {
  const auto step = GENERATE(Duration(-1h), Duration(1h), Duration(-20min));
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.plays["a"] = {exhausted(2h)};
  lives.after(90min, [&] { lives.world.clock().step(step); });
  lives.live_for(10h);
  CHECK(lives.happened() == Texts{"13:00 a", Lives::text(Lives::time("15:01") + step) + " a"});
}
