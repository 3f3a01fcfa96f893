#include "tests/scheduler/scheduler_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("a clock that is set forward is a time slept through") {
  for (const auto missed : {Missed::latest, Missed::none}) {
    Lives lives({pipeline("a", "*/20 * * * *").missed(missed)});
    lives.at("12:10", [&] { lives.world.clock().step(1h); });
    lives.live_until("13:50");
    auto expected = Texts{"13:10:59 a missed 12:40 (down) and 1 before", "13:10:59 a", "13:20 a", "13:40 a"};
    if (missed == Missed::none) expected = {"13:10:59 a missed 13:00 (down) and 2 before", "13:20 a", "13:40 a"};
    const auto happened = lives.happened();
    REQUIRE(happened.size() == expected.size());
    // Noticed within a minute.
    CHECK(happened.front().substr(0, 5) == "13:11");
    CHECK(Texts(happened.end() - 2, happened.end()) == Texts(expected.end() - 2, expected.end()));
    CHECK(happened.front().substr(5) == expected.front().substr(8));
  }
}

TEST_CASE("a clock that is set back repeats no fire and loses none") {
  Lives lives({pipeline("a", "*/20 * * * *")});
  lives.at("12:50", [&] { lives.world.clock().step(-1h); });
  lives.live_until("13:30");
  CHECK(lives.happened() == Texts{"12:20 a", "12:40 a", "13:00 a", "13:20 a"});
  CHECK(lives.world.clock().uptime() == 150min);
}

TEST_CASE("a clock that is set back while the process is down repeats no fire") {
  Lives lives({pipeline("a", "*/20 * * * *")});
  lives.live_until("12:50");
  lives.world.clock().step(-1h);
  lives.live_until("13:10");
  CHECK(lives.happened() == Texts{"12:20 a", "12:40 a", "13:00 a"});
}

// Far ahead from 12:30 to 12:35; then it goes on until 150 minutes have passed.
static void live_with_wrong_clock(Lives& lives, Duration wrong) {
  lives.after(30min, [&lives, wrong] { lives.world.clock().step(wrong); });
  lives.after(35min, [&lives, wrong] { lives.world.clock().step(-wrong); });
  lives.live_for(150min);
}

TEST_CASE("a clock that was years ahead for a while does not silence the schedule for years") {
  Lives lives({pipeline("a", "0 * * * *")});
  live_with_wrong_clock(lives, 24h * 3650);
  const auto happened = lives.happened();
  REQUIRE(happened.size() >= 2);
  CHECK(Texts(happened.end() - 2, happened.end()) == Texts{"13:00 a", "14:00 a"});
  CHECK_THAT(lives.notices().front(), Catch::Contains("the clock was set back by more than a day"));
}

TEST_CASE("a clock that was put right by years while the process was down does not silence the schedule") {
  Lives lives({pipeline("a", "0 * * * *")});
  lives.state.pipelines["a"].last_planned = Lives::time("12:00") + 24h * 3650;
  lives.live_until("13:30");
  CHECK(lives.happened() == Texts{"13:00 a"});
  CHECK_THAT(lives.notices().front(), Catch::Contains("the schedule starts anew from now"));
}

TEST_CASE("a clock that is set back during a dependent run does not fire it again and again") {
  Lives lives({pipeline("a", "0 * * * *"), after("c", {"a"})});
  lives.plays["c"] = {Play(10min)};
  lives.at("13:05", [&] { lives.world.clock().step(-1h); });
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"13:00 a", "13:01 c dependency", "14:00 a", "14:01 c dependency"});
}

TEST_CASE("what succeeds after the clock was set back is followed too") {
  Lives lives({pipeline("a", "0 * * * *"), after("c", {"a"})});
  lives.after(90min, [&] { lives.world.clock().step(-1h); });
  lives.after(110min, [&] { lives.scheduler->trigger("a"); });
  lives.live_for(115min);
  CHECK(lives.happened() == Texts{"13:00 a", "13:01 c dependency", "12:50 a manual", "12:51 c dependency"});
}

TEST_CASE("a retry waits its time, whatever the wall clock does meanwhile") {
  const auto step = GENERATE(Duration(-1h), Duration(1h), Duration(-5min), Duration(5min));
  Lives lives({pipeline("a", "0 13 * * *").retry_after(10min)});
  lives.plays["a"] = {Play(1min, Outcome::failed, true)};
  lives.after(62min, [&] { lives.world.clock().step(step); });
  lives.live_for(150min);
  CHECK(lives.happened() == Texts{"13:00 a", Lives::text(Lives::time("13:11") + step) + " a attempt 2"});
}

TEST_CASE("a dependent fire that a wrong clock put off for years is not waited for") {
  Lives lives({pipeline("a", "0 * * * *"), after("d", {"a"}).jitter(1h)});
  const auto offset = lives.pipelines[1].schedule.offset("d");
  REQUIRE((offset > 10min && offset < 29min));  // before the next success, which it would take for its own
  live_with_wrong_clock(lives, 24h * 3650);
  const auto happened = lives.happened();
  CHECK(std::count(happened.begin(), happened.end(), Lives::text(Lives::time("13:01") + offset) + " d dependency") ==
        1);
}
