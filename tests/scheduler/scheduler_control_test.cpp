#include "tests/scheduler/scheduler_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("a pause is remembered, and on resume `missed` decides what becomes of the fires") {
  for (const auto missed : {Missed::latest, Missed::all, Missed::none}) {
    Lives lives({pipeline("a", "0 * * * *").missed(missed)});
    lives.pause_at("12:30", "a");
    lives.live_until("13:30");
    CHECK(lives.happened().empty());
    CHECK_FALSE(lives.status("a").next_fire);
    lives.resume_at("15:30", "a");
    lives.live_until("16:30");
    auto expected = Texts{"15:30 a missed 14:00 (paused) and 1 before", "15:30 a", "16:00 a"};
    if (missed == Missed::all)
      expected = {"15:30 a up to 13:00", "15:31 a up to 14:00", "15:32 a up to 15:00", "16:00 a"};
    if (missed == Missed::none) expected = {"15:30 a missed 15:00 (paused) and 2 before", "16:00 a"};
    CHECK(lives.happened() == expected);
    CHECK_FALSE(lives.state.pipelines["a"].paused);
  }
}

TEST_CASE("a pause lets the running run end, and takes back what waited behind it") {
  Lives lives({pipeline("a", "0 * * * *").overlap(Overlap::queue)});
  lives.plays["a"] = {Play(80min)};
  lives.pause_at("14:10", "a");
  lives.resume_at("14:40", "a");
  lives.live_until("14:50");
  CHECK(lives.happened() == Texts{"13:00 a", "14:40 a"});
  CHECK(lives.planned(1) == "14:00");
  CHECK(lives.first_record().outcome == Outcome::succeeded);
}

TEST_CASE("a run that is only just being written down is not owed again after a pause") {
  Lives lives({pipeline("a", "0 * * * *")});
  lives.at("12:59", [&] { lives.state.failing_writes = 1; });
  lives.pause_at("13:00:00.5", "a");
  lives.resume_at("13:00:30", "a");
  lives.live_until("13:30");
  CHECK(lives.happened() == Texts{"13:00:01 a"});
}

TEST_CASE("a trigger starts a run now, also while the pipeline is paused, and moves no planned fire") {
  Lives lives({pipeline("a", "0 * * * *")});
  lives.pause_at("12:10", "a");
  std::optional<std::string> id;
  lives.at("12:20", [&] { id = lives.scheduler->trigger("a"); });
  lives.resume_at("12:40", "a");
  lives.live_until("13:30");
  CHECK(lives.happened() == Texts{"12:20 a manual", "13:00 a"});
  REQUIRE(id);
  CHECK(lives.state.records.contains(*id));
  CHECK(lives.planned(0) == "12:20");
}

TEST_CASE("a trigger while the pipeline runs is refused with the reason, unless overlap queues it") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 13 * * *").overlap(Overlap::queue)});
  lives.plays["a"] = lives.plays["b"] = {Play(30min)};
  lives.at("13:10", [&] {
    CHECK_THROWS_WITH(lives.scheduler->trigger("a"), Catch::Contains("a was not started: it is running"));
    CHECK_FALSE(lives.scheduler->trigger("b"));
    CHECK_THROWS_WITH(lives.scheduler->trigger("b"), Catch::Contains("waiting already"));
  });
  lives.live_until("14:00");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b", "13:30 b manual"});
}

TEST_CASE("a pipeline that does not exist is said to, with the nearest name") {
  Lives lives({pipeline("facebook", "0 * * * *")});
  lives.at("12:10", [&] {
    const auto says = Catch::Contains("there is no pipeline \"facbook\"; did you mean \"facebook\"?");
    CHECK_THROWS_WITH(lives.scheduler->trigger("facbook"), says);
    CHECK_THROWS_WITH(lives.scheduler->cancel("facbook", "by hand"), says);
  });
  lives.live_until("12:20");
}

TEST_CASE("cancel stops the running run, which is recorded, and drops the retry that waits") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 13 * * *")});
  lives.plays["a"] = {Play(30min)};
  lives.plays["b"] = {Play(1min, Outcome::failed, true)};
  lives.at("13:02", [&] {
    CHECK(lives.status("b").next_retry);
    lives.scheduler->cancel("a", "cancelled by ops");
    lives.scheduler->cancel("b", "cancelled by ops");
    CHECK_THROWS_WITH(lives.scheduler->cancel("b", "cancelled by ops"), Catch::Contains("b is not running"));
  });
  lives.live_until("20:00");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b", "13:02 a cancelled"});
  CHECK(lives.status("a").last_outcome == Outcome::cancelled);
  CHECK(lives.status("a").last_message == "cancelled by ops");
  CHECK(lives.requests.at(0).record.pipeline == "a");
  CHECK(lives.state.pipelines["a"].consecutive_failures == 0);
  CHECK_FALSE(lives.status("b").next_retry);
}

TEST_CASE("a process that dies between writing down the run and settling the fire owes the fire") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.live_until("12:30");
  lives.state.die_before("last_planned");
  lives.live_until("13:00:30");
  lives.happened();
  lives.live_until("14:00");
  CHECK(lives.happened() == Texts{"13:00:30 a"});
  CHECK(lives.planned_last() == "13:00");
  CHECK(lives.requests.back().record.attempt == 1);
  CHECK(lives.state.records.size() == 2);
  CHECK(lives.first_record().message == "interrupted: the process ended");
}

TEST_CASE("a process that dies before writing anything down owes the fire") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.live_until("12:30");
  lives.state.die_before("run_started");
  lives.live_until("13:00:30");
  lives.happened();
  lives.live_until("14:00");
  CHECK(lives.happened() == Texts{"13:00:30 a"});
  CHECK(lives.state.records.size() == 1);
}

TEST_CASE("a process that dies before writing down the end of a run tries it again") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.live_until("12:30");
  lives.state.die_before("run_ended");
  lives.live_until("13:30");
  lives.happened();
  lives.live_until("14:30");
  REQUIRE(lives.happened().size() == 1);
  CHECK(lives.requests.back().record.attempt == 2);
}

TEST_CASE("while the state cannot be written nothing starts, which is said once, and the fire is not lost") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.at("12:59", [&] { lives.state.failing_writes = 4; });
  lives.live_until("14:00");
  CHECK(lives.happened() == Texts{"13:00:15 a"});
  CHECK(lives.notices() == Texts{": a cannot start: the state cannot be written: the disk is full; it is tried again "
                                 "until it can (see state.url)"});
  CHECK(lives.first_record().outcome == Outcome::succeeded);
}

TEST_CASE("the end of a run is written down although the state could not be written at first") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.at("13:00:30", [&] { lives.state.failing_writes = 3; });
  lives.live_until("14:00");
  CHECK(lives.first_record().outcome == Outcome::succeeded);
  CHECK(lives.notices().size() == 1);
}

TEST_CASE("a drain starts nothing more and lets what is running end") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "1 13 * * *"), pipeline("c", "20 13 * * *")});
  lives.limit = 1;
  lives.plays["a"] = {Play(30min)};
  lives.at("13:15",
           [&] { CHECK_THROWS_WITH(lives.scheduler->trigger("c"), Catch::Contains("the daemon is stopping")); });
  lives.drain_at("13:10", 1h);
  lives.live_and_stop_at("20:00");
  CHECK(lives.happened() == Texts{"13:00 a"});
  CHECK(lives.drained == Lives::time("13:30"));
  CHECK(lives.first_record().outcome == Outcome::succeeded);
  // What waited, and what fell due since, is owed.
  lives.live_until("20:30");
  CHECK(lives.happened() == Texts{"20:00 b", "20:01 c"});
}

TEST_CASE("what falls due during a drain is neither run nor missed but owed") {
  Lives lives({pipeline("a", "0 13,14 * * *")});
  lives.plays["a"] = {Play(80min)};
  lives.drain_at("13:10", 2h);
  lives.live_and_stop_at("20:00");
  CHECK(lives.happened() == Texts{"13:00 a"});
  lives.live_until("20:30");
  CHECK(lives.happened() == Texts{"20:00 a"});
  CHECK(lives.planned_last() == "14:00");
}

TEST_CASE("a drain cancels what is still running after its timeout, and the next process takes it up") {
  Lives lives({pipeline("a", "0 13 * * *"), pipeline("b", "0 13 * * *")});
  lives.plays["a"] = {Play(3h)};
  lives.plays["b"] = {Play(5min)};
  lives.drain_at("13:10", 30min);
  lives.live_and_stop_at("20:00");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b", "13:40 a cancelled"});
  CHECK(lives.drained == Lives::time("13:40"));
  CHECK(lives.status("a").last_outcome == Outcome::cancelled);
  lives.live_until("20:30");
  CHECK(lives.happened() == Texts{"20:00 a"});
  CHECK(lives.planned_last() == "13:00");
}

TEST_CASE("a stop cancels the runs at once, and writes down their end") {
  Lives lives({pipeline("a", "0 13 * * *")});
  lives.plays["a"] = {Play(3h)};
  lives.live_and_stop_at("13:10");
  CHECK(lives.happened() == Texts{"13:00 a", "13:10 a cancelled"});
  const auto& record = lives.first_record();
  CHECK(record.outcome == Outcome::cancelled);
  CHECK(record.ended == Lives::time("13:10"));
  CHECK_THAT(record.message, Catch::Contains("the daemon was stopped"));
  lives.live_until("14:00");
  CHECK(lives.happened() == Texts{"13:10 a"});
}

TEST_CASE("a reload leaves unchanged pipelines their next fire and their run, and takes up the others") {
  Lives lives({every("a", 1h), pipeline("b", "0 13 * * *"), pipeline("c", "0 * * * *")});
  lives.plays["b"] = {Play(1h)};
  lives.reload_at("13:30", {every("a", 1h), pipeline("b", "45 13,14 * * *"), pipeline("d", "15 14 * * *")});
  lives.live_until("15:30");
  CHECK(lives.happened() == Texts{"13:00 a", "13:00 b", "13:00 c", "13:45 b missed 13:45 (overlap)", "14:00 a",
                                  "14:15 d", "14:45 b", "15:00 a"});
}

TEST_CASE("a schedule that was changed owes nothing from before the change") {
  Lives lives({pipeline("a", "0 0 * * *")});
  lives.reload_at("14:30", {pipeline("a", "0 * * * *")});
  lives.reload_at("15:10", {pipeline("a", "0 * * * *").disabled()});
  lives.reload_at("16:30", {pipeline("a", "0 * * * *")});
  lives.live_until("17:30");
  CHECK(lives.happened() == Texts{"15:00 a", "17:00 a"});
}

TEST_CASE("a pipeline that leaves the file and comes back while its run is going is not run twice") {
  Lives lives({pipeline("a", "0 * * * *")});
  lives.plays["a"] = {Play(90min)};
  lives.reload_at("13:10", {});
  lives.reload_at("13:20", {pipeline("a", "0 * * * *")});
  lives.live_until("15:30");
  CHECK(lives.happened() == Texts{"13:00 a", "14:00 a missed 14:00 (overlap)", "15:00 a"});
  CHECK(lives.most_running == 1);
}

TEST_CASE("two reloads at once take up a new pipeline once") {
  Lives lives({pipeline("a", "0 * * * *")});
  const std::vector<ScheduledPipeline> both{pipeline("a", "0 * * * *"), pipeline("d", "31 13 * * *")};
  lives.at("13:20", [&] { lives.state.reading_takes = 1s; });
  lives.reload_at("13:30", both);
  lives.reload_at("13:30", both);
  lives.live_until("13:50");
  CHECK(lives.happened() == Texts{"13:00 a", "13:31 d"});
}

TEST_CASE("the next fire is the earliest of those that will fire") {
  Lives lives({pipeline("a", "30 * * * *"), pipeline("b", "10 * * * *"), pipeline("c", "20 * * * *"), pipeline("d")});
  const auto next = [&] { return lives.scheduler->next_fire(); };
  using Fire = std::pair<std::string, Instant>;
  lives.at("13:05", [&] { CHECK(next() == Fire("b", Lives::time("13:10"))); });
  lives.at("13:15", [&] { CHECK(next() == Fire("c", Lives::time("13:20"))); });
  lives.pause_at("13:16", "c");
  lives.at("13:17", [&] { CHECK(next() == Fire("a", Lives::time("13:30"))); });
  lives.at("13:35", [&] { CHECK(next() == Fire("b", Lives::time("14:10"))); });
  lives.live_until("13:40");
}

TEST_CASE("the status says what goes on and what went on") {
  Lives lives({pipeline("a", "0 * * * *"), pipeline("b")});
  lives.plays["a"] = {Play(10min), Play(1min, Outcome::partial)};
  lives.at("13:05", [&] {
    const auto s = lives.status("a");
    CHECK(s.running == lives.requests[0].record.id);
    CHECK(s.running_since == Lives::time("13:00"));
    CHECK(s.next_fire == Lives::time("14:00"));
    CHECK_FALSE(s.last_outcome);
    CHECK(lives.scheduler->running() == 1);
  });
  lives.at("14:05", [&] {
    const auto s = lives.status("a");
    CHECK_FALSE(s.running);
    CHECK(s.last_outcome == Outcome::partial);
    CHECK(s.last_run == lives.requests[1].record.id);
    CHECK(s.last_message == "it went wrong");
    CHECK(s.last_ended == Lives::time("14:01"));
    CHECK(s.last_succeeded == Lives::time("13:00"));
    CHECK(s.consecutive_failures == 1);
    CHECK_FALSE(lives.status("b").next_fire);
  });
  lives.live_until("14:10");
  lives.live_until("14:11");
  CHECK(lives.status("a").last_outcome == Outcome::partial);
  CHECK(lives.status("a").last_succeeded == Lives::time("13:00"));
}
