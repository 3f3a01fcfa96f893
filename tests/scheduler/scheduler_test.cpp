#include "scheduler/scheduler.hpp"

#include "tests/scheduler/scheduler_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("a pipeline fires at its planned instants, first at the next one") {
  Lives lives({pipeline("a", "7 * * * *"), every("b", 45min)});
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"12:07 a", "12:45 b", "13:07 a", "13:30 b", "14:07 a", "14:15 b"});
  CHECK(lives.planned(0) == "12:07");
  CHECK(lives.requests.front().record.trigger == "schedule");
}

TEST_CASE("jitter delays each fire by the pipeline's own offset and leaves the planned instant alone") {
  Lives lives;
  auto a = pipeline("a", "0 * * * *");
  a.schedule.jitter = 10min;
  const auto offset = a.schedule.offset("a");
  REQUIRE(offset > 0s);
  lives.pipelines = {a};
  lives.live_until("14:30");
  REQUIRE(lives.requests.size() == 2);
  for (int i = 0; i < 2; ++i) {
    const auto& run = lives.requests[static_cast<std::size_t>(i)].record;
    CHECK(run.planned == Lives::time("13:00") + i * 1h);
    CHECK(run.started == run.planned + offset);
    CHECK(run.delay == 0s);
  }
}

TEST_CASE("a pipeline that is disabled never fires and is not started by hand") {
  Lives lives({pipeline("a", "* * * * *").disabled()});
  lives.at("12:30", [&] { CHECK_THROWS_WITH(lives.scheduler->trigger("a"), Catch::Contains("disabled")); });
  lives.live_until("13:00");
  CHECK(lives.happened().empty());
  CHECK_FALSE(lives.status("a").next_fire);
}

TEST_CASE("a start is written down before the run begins, the run before its fire is settled") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.live_until("14:00");
  CHECK(lives.state.writes == Texts{"last_planned a", "run_started a", "last_planned a", "run_ended a"});
  CHECK(lives.state.pipelines["a"].last_planned == Lives::time("13:00"));
  const auto& record = lives.first_record();
  CHECK(record.started == Lives::time("13:00"));
  CHECK(record.ended == Lives::time("13:01"));
  CHECK(record.outcome == Outcome::succeeded);
}

TEST_CASE("run ids sort by start and are not given twice") {
  std::set<std::string> ids;
  const auto now = *parse_instant("2026-03-02T12:00:00Z");
  for (int i = 0; i < 10'000; ++i) ids.insert(make_run_id(now));
  CHECK(ids.size() == 10'000);
  CHECK(ids.begin()->starts_with("20260302T120000Z-"));
  CHECK(ids.begin()->size() == 21);
  CHECK(*ids.rbegin() < make_run_id(now + 1s));
}

TEST_CASE("missed: latest runs the newest of the fires that fell due while the process was down") {
  Lives lives({pipeline("a", "0 * * * *")});
  lives.away("13:30", "17:30");
  lives.live_until("18:30");
  CHECK(lives.happened() == Texts{"17:30 a missed 16:00 (down) and 2 before", "17:30 a", "18:00 a"});
  CHECK(lives.planned(1) == "17:00");
  CHECK(lives.requests[1].record.delay == 30min);
  CHECK_FALSE(lives.requests[1].up_to);
}

TEST_CASE("missed: all runs each fire, one after another, each up to its planned instant") {
  Lives lives({pipeline("a", "0 * * * *").missed(Missed::all)});
  lives.away("13:30", "16:30");
  lives.live_until("17:30");
  CHECK(lives.happened() == Texts{"16:30 a up to 14:00", "16:31 a up to 15:00", "16:32 a up to 16:00", "17:00 a"});
}

TEST_CASE("missed: all, killed while it catches up, goes on where it was") {
  Lives lives({pipeline("a", "0 * * * *").missed(Missed::all)});
  lives.away("13:30", "16:30");
  lives.live_until("16:31:30");
  CHECK(lives.happened() == Texts{"16:30 a up to 14:00", "16:31 a up to 15:00"});
  lives.live_until("16:40");
  CHECK(lives.happened() == Texts{"16:31:30 a up to 16:00"});
}

TEST_CASE("missed: all, with a fire that overlaps the catching up, forgets none of those it still owes") {
  Lives lives({pipeline("a", "0 * * * *").missed(Missed::all)});
  lives.away("13:30", "15:50");
  lives.plays["a"] = {Play(20min), Play(20min)};
  lives.live_until("16:05");
  CHECK(lives.happened() == Texts{"15:50 a up to 14:00", "16:00 a missed 16:00 (overlap)"});
  CHECK(lives.state.pipelines["a"].last_planned == Lives::time("14:00"));
  lives.live_until("16:30");
  CHECK(lives.happened() == Texts{"16:05 a up to 15:00", "16:25 a up to 16:00"});
}

TEST_CASE("missed: none drops what fell due while the process was down") {
  Lives lives({pipeline("a", "0 * * * *").missed(Missed::none)});
  lives.away("13:30", "16:30");
  lives.live_until("17:30");
  CHECK(lives.happened() == Texts{"16:30 a missed 16:00 (down) and 2 before", "17:00 a"});
  lives.live_until("17:40");
  CHECK(lives.happened().empty());
}

TEST_CASE("missed: none means it: a fire that fell due a moment before the start is dropped too") {
  Lives lives({pipeline("a", "0 * * * *").missed(Missed::none)});
  lives.live_until("12:59:50");
  lives.down_until("13:00:20");
  lives.live_until("13:30");
  CHECK(lives.happened() == Texts{"13:00:20 a missed 13:00 (down)"});
}

TEST_CASE("a pipeline that was never seen before owes nothing, and what falls due before its first fire is owed") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.live_until("12:30");
  CHECK(lives.happened().empty());
  lives.down_until("14:00");
  lives.live_until("14:10");
  CHECK(lives.happened() == Texts{"14:00 a"});
}

TEST_CASE("fires that fell due in a month of seconds are bounded") {
  Lives lives({pipeline("a", "* * * * * *").missed(Missed::all).start_deadline(2s)});
  lives.live_until("12:00:30");
  lives.down_until("31T12:00");
  lives.events.all.clear();
  lives.live_until("31T12:00:01");
  const auto missed = lives.events.of<FireMissed>();
  REQUIRE(missed.size() >= 2);
  CHECK(missed[0].reason == "down");
  CHECK(missed[0].count > 1'000);
  CHECK(missed[1].reason == "deadline");
  CHECK(missed[1].count >= 990);
}

TEST_CASE("missed: latest finds the newest fire where too many to count lie before it") {
  Lives lives({pipeline("a", "* * 12 3-6 * *")});
  lives.live_until("12:00:30");
  lives.down_until("31T12:00");
  lives.live_until("31T12:00:30");
  CHECK(lives.planned_last() == "6T12:59:59");
}

TEST_CASE("start_deadline drops a fire that would start later than that") {
  Lives lives({pipeline("a", "0 * * * *").start_deadline(20min)});
  lives.live_until("12:30");
  lives.down_until("13:10");
  lives.live_until("13:30");
  CHECK(lives.happened() == Texts{"13:10 a"});
  lives.down_until("14:30");
  lives.live_until("15:30");
  CHECK(lives.happened() == Texts{"14:30 a missed 14:00 (deadline)", "15:00 a"});
}

TEST_CASE("overlap: skip leaves the fire out") {
  Lives lives({pipeline("a", "0 * * * *")});
  lives.plays["a"] = {Play(90min)};
  lives.live_until("15:30");
  CHECK(lives.happened() == Texts{"13:00 a", "14:00 a missed 14:00 (overlap)", "15:00 a"});
}

TEST_CASE("overlap: queue keeps one fire, the newest, until the run has ended") {
  Lives lives({pipeline("a", "0 * * * *").overlap(Overlap::queue)});
  lives.plays["a"] = {Play(150min)};
  lives.live_until("16:30");
  CHECK(lives.happened() == Texts{"13:00 a", "15:00 a missed 14:00 (overlap)", "15:30 a", "16:00 a"});
  CHECK(lives.planned(1) == "15:00");
  CHECK(lives.requests[1].record.delay == 30min);
}

TEST_CASE("overlap: a fire that was queued when the process was killed is owed") {
  Lives lives({pipeline("a", "0 * * * *").overlap(Overlap::queue)});
  lives.plays["a"] = {Play(90min)};
  lives.live_until("14:10");
  lives.happened();
  lives.live_until("14:20");
  CHECK(lives.happened() == Texts{"14:10 a"});
  CHECK(lives.planned(1) == "14:00");
}

TEST_CASE("overlap: replace cancels the run and starts the new one when it has ended") {
  Lives lives({pipeline("a", "0 * * * *").overlap(Overlap::replace)});
  lives.plays["a"] = {Play(90min)};
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"13:00 a", "14:00 a cancelled", "14:00 a"});
  CHECK(lives.first_record().outcome == Outcome::cancelled);
  CHECK(lives.first_record().message == "replaced by the fire of 2026-03-02T14:00:00Z");
  CHECK_FALSE(lives.first_record().passing);
}

TEST_CASE("a run that failed for a passing cause is tried again after the backoff, as many times as retry says") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.plays["a"] = {Play(1min, Outcome::failed, true), Play(1min, Outcome::partial, true),
                      Play(1min, Outcome::failed, true)};
  lives.live_until("3T12:00");
  REQUIRE(lives.requests.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(lives.requests[i].record.attempt == static_cast<int>(i) + 1);
    CHECK(lives.planned(i) == "13:00");
    CHECK(lives.requests[i].record.trigger == "schedule");
  }
  const auto waited = [&](std::size_t i) {
    return lives.requests[i].record.started - lives.requests[i - 1].record.started - 1min;
  };
  CHECK((waited(1) >= 5min && waited(1) <= 450s));
  CHECK((waited(2) >= 10min && waited(2) <= 15min));
  CHECK(lives.state.pipelines["a"].consecutive_failures == 3);
}

TEST_CASE("a run that failed for good, or was cancelled, is not tried again") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 13 * * *")});
  lives.plays["a"] = {Play(1min, Outcome::failed, false)};
  lives.plays["b"] = {Play(1h, Outcome::failed, true)};
  lives.at("13:30", [&] { lives.scheduler->cancel("b", "cancelled by ops"); });
  lives.live_until("20:00");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b", "13:30 b cancelled"});
}

TEST_CASE("an error that the runner throws is the run's failure, with its message and its remedy") {
  Lives lives({pipeline("a", "0 13 * * *")});
  Play broken;
  broken.error = "the token was refused";
  Play flaky;
  flaky.error = "connection reset";
  flaky.passing = true;
  lives.plays["a"] = {flaky, broken};
  lives.live_until("20:00");
  CHECK(lives.requests.size() == 2);
  const auto ended = lives.events.of<RunEnded>();
  REQUIRE(ended.size() == 2);
  CHECK(ended[0].message == "connection reset");
  CHECK(ended[0].took == 1min);
  CHECK(ended[1].outcome == Outcome::failed);
  CHECK(lives.status("a").last_message == "the token was refused");
  CHECK(lives.status("a").consecutive_failures == 2);
}

TEST_CASE("the next scheduled fire takes the place of a retry that waits") {
  Lives lives({pipeline("a", "0 * * * *").retry_after(30min)});
  lives.plays["a"] = {Play(40min, Outcome::failed, true)};
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"13:00 a", "14:00 a"});
  CHECK(lives.requests[1].record.attempt == 1);
}

TEST_CASE("the next scheduled fire takes the place of a retry that waits for other runs to end") {
  Lives lives({pipeline("a", "0 * * * *").retry_after(30min), pipeline("b", "20 13 * * *")});
  lives.limit = 1;
  lives.plays["a"] = {Play(1min, Outcome::failed, true)};
  lives.plays["b"] = {Play(1h)};
  lives.live_until("14:30");
  CHECK(lives.happened() == Texts{"13:00 a", "13:20 b", "14:20 a"});
  CHECK(lives.planned_last() == "14:00");
}

TEST_CASE("a retry that waited when the process was killed is taken up by the next") {
  Lives lives({pipeline("a", "0 13 * * *").retry_after(30min)});
  lives.plays["a"] = {Play(1min, Outcome::failed, true)};
  lives.live_until("13:10");
  lives.live_until("15:00");
  CHECK(lives.happened() == Texts{"13:00 a", "13:31 a attempt 2"});
}

TEST_CASE("a run that died with its process is tried again, and a run that always kills it is not for ever") {
  Lives lives({pipeline("a", "0 13 * * *").retry_after(5min)});
  lives.plays["a"] = {Play(24h), Play(24h), Play(24h), Play(24h)};
  lives.live_until("13:10");
  lives.live_until("13:20");
  lives.live_until("13:30");
  lives.live_until("13:59");
  CHECK(lives.happened() == Texts{"13:00 a", "13:15 a attempt 2", "13:25 a attempt 3"});
  CHECK(lives.state.records.size() == 3);
  for (const auto& [id, run] : lives.state.records) CHECK(run.outcome == Outcome::failed);
  CHECK(lives.notices().size() == 3);
  CHECK_THAT(lives.notices().front(), Catch::Contains("was interrupted: the process that made it is gone"));
}

TEST_CASE("after fires once each named pipeline has succeeded since the last start") {
  Lives lives({pipeline("a", "0 * * * *"), pipeline("b", "30 13 * * *"), after("c", {"a", "b"})});
  lives.live_until("16:30");
  CHECK(lives.happened() == Texts{"13:00 a", "13:30 b", "13:31 c dependency", "14:00 a", "15:00 a", "16:00 a"});
}

TEST_CASE("after waits for success: a failed or partial run does not count, nor does a backfill") {
  Lives lives({pipeline("a", "0 * * * *"), after("c", {"a"})});
  lives.plays["a"] = {Play(1min, Outcome::failed), Play(1min, Outcome::partial)};
  RunRecord backfill;
  backfill.id = "x";
  backfill.pipeline = "a";
  backfill.trigger = "backfill";
  backfill.planned = backfill.started = Lives::time("11:00");
  backfill.ended = Lives::time("11:30");
  backfill.outcome = Outcome::succeeded;
  lives.state.records["x"] = backfill;
  lives.live_until("15:30");
  CHECK(lives.happened() == Texts{"13:00 a", "14:00 a", "15:00 a", "15:01 c dependency"});
}

TEST_CASE("after survives restarts: neither lost nor doubled") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 14 * * *"), after("c", {"a", "b"})});
  lives.live_until("13:30");
  lives.live_until("14:30");
  lives.live_until("15:30");
  CHECK(lives.happened() == Texts{"13:00 a", "14:00 b", "14:01 c dependency"});
}

TEST_CASE("after: what succeeded while it was running is followed when it has ended") {
  Lives lives({pipeline("a", "0 * * * *"), after("c", {"a"})});
  lives.plays["c"] = {Play(80min)};
  lives.live_until("14:40");
  CHECK(lives.happened() == Texts{"13:00 a", "13:01 c dependency", "14:00 a", "14:21 c dependency"});
}

TEST_CASE("after with replace makes way for what succeeded while it was running") {
  Lives lives({pipeline("a", "0 * * * *"), after("c", {"a"}).overlap(Overlap::replace)});
  lives.plays["c"] = {Play(80min)};
  lives.live_until("14:40");
  CHECK(lives.happened() ==
        Texts{"13:00 a", "13:01 c dependency", "14:00 a", "14:01 c cancelled", "14:01 c dependency"});
}

TEST_CASE("after chains, and its own failed run is tried again without waiting for the others") {
  Lives lives({pipeline("a", "0 13 * * *"), after("b", {"a"}).retry_after(10min), after("c", {"b"})});
  lives.plays["b"] = {Play(1min, Outcome::failed, true)};
  lives.live_until("14:30");
  CHECK(lives.happened() ==
        Texts{"13:00 a", "13:01 b dependency", "13:12 b dependency attempt 2", "13:13 c dependency"});
}

TEST_CASE("after with missed: none does not follow what succeeded while it was paused") {
  Lives lives({pipeline("a", "0 * * * *"), after("c", {"a"}).missed(Missed::none), after("d", {"a"})});
  lives.pause_at("12:10", "c");
  lives.pause_at("12:10", "d");
  lives.resume_at("13:30", "c");
  lives.resume_at("13:30", "d");
  lives.live_until("14:30");
  CHECK(lives.happened() ==
        Texts{"13:00 a", "13:30 d dependency", "14:00 a", "14:01 c dependency", "14:01 d dependency"});
}
