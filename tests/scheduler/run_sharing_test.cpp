#include "tests/scheduler/run_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using Fixture = test::RunFixture;

// How slices, accounts and backfills share the source and the sink.

TEST_CASE("slices are extracted side by side and published in the order of progress") {
  Fixture f;
  f.connector.answers["a/2026-03-01"].delay = 10s;
  f.connector.answers["a/2026-03-02"].delay = 5s;
  f.run();
  CHECK(f.connector.most_reading == 3);
  CHECK(f.sink.published == std::vector<std::string>{"a/2026-03-01", "a/2026-03-02", "a/2026-03-03"});
}

TEST_CASE("rows are staged while the connector reads on") {
  Fixture f;
  f.pipeline.timeout = 3h;
  const std::string slow = "a/2026-03-03";
  f.connector.answers[slow].after_rows = 1h;
  f.sink.before_stage = [&](const Slice& slice) {
    return f.world.clock().sleep_for(slice.id() == slow ? Duration(1h) : Duration::zero());
  };
  const auto ended = f.run();
  CHECK(ended.outcome == Outcome::succeeded);
  CHECK(ended.took >= 1h);
  CHECK(ended.took < 90min);
}

TEST_CASE("lookback slices are published when they are ready") {
  Fixture f;
  f.run();
  f.sink.published.clear();
  f.connector.answers["a/2026-03-02"].delay = 10s;
  f.run();
  CHECK(f.sink.published == std::vector<std::string>{"a/2026-03-03", "a/2026-03-02"});
}

TEST_CASE("a backfill of many slices leaves one of the source's places to the live run") {
  Fixture f;
  RunOptions past;
  past.backfill.emplace("past", Day(2026, 1, 1), Day(2026, 1, 20));
  for (Day day(2026, 1, 1); day <= Day(2026, 1, 20); ++day) f.connector.answers["a/" + format_day(day)].delay = 1h;
  RunRecord backfill, live;
  backfill.pipeline = live.pipeline = "p";
  backfill.id = "backfill";
  live.id = "live";
  const auto both = [&]() -> task<void> {
    TaskGroup group(f.world.executor());
    group.spawn([](Fixture& x, RunRecord& r, RunOptions& o) -> task<void> {
      co_await run_pipeline(x.pipeline, r, o, x.context);
    }(f, backfill, past));
    co_await f.world.clock().sleep_for(1min);
    const auto ended = co_await run_pipeline(f.pipeline, live, f.options, f.context);
    CHECK(ended.outcome == Outcome::succeeded);
    CHECK(ended.took < 1min);
    co_await group.join();
  };
  f.world.run(both());
  CHECK(f.progress("a", "past").done_to == "2026-01-21");
}

TEST_CASE("slices that wait for something slow leave their places to other accounts") {
  Fixture f;
  f.connector.accounts = {Partition("a"), Partition("b")};
  f.pipeline.timeout = 2h;
  f.pipeline.streams[0].start = Day(2026, 2, 1);
  for (Day day(2026, 2, 1); day <= Day(2026, 3, 3); ++day) f.connector.answers["a/" + format_day(day)].elsewhere = 1h;
  CHECK(f.run().outcome == Outcome::succeeded);
  REQUIRE(f.sink.published.size() == 62);
  for (std::size_t i = 0; i < 62; ++i) CHECK((f.sink.published[i][0] == 'b') == (i < 31));
}

TEST_CASE("the slices of one account leave a connection to others") {
  Fixture f;
  f.connector.accounts = {Partition("a"), Partition("b")};
  f.pipeline.timeout = 2h;
  // With a connection, a slice of the first account is held up.
  for (const auto* day : {"2026-03-01", "2026-03-02", "2026-03-03"})
    f.connector.answers[std::string("a/") + day].after_rows = 1h;
  CHECK(f.run().outcome == Outcome::succeeded);
  REQUIRE(f.sink.published.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) CHECK((f.sink.published[i][0] == 'b') == (i < 3));
}

TEST_CASE("whatever slices wait for, and wherever, all of them are published, each account's in order") {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    INFO(seed);
    Fixture f;
    Rng rng(seed);
    const auto some = [&rng](int most) { return std::chrono::minutes(std::uniform_int_distribution<>(0, most)(rng)); };
    f.connector.accounts = {Partition("a"), Partition("b"), Partition("c"), Partition("d")};
    f.pipeline.streams[0].start = Day(2026, 2, 20);
    for (const auto& account : f.connector.accounts)
      for (Day day(2026, 2, 20); day <= Day(2026, 3, 3); ++day) {
        auto& answer = f.connector.answers[account.id + "/" + format_day(day)];
        answer.reads = {{1, 2}};
        answer.elsewhere = some(3);
        answer.delay = some(3);
        answer.after_rows = some(3);
        if (some(4) == 0min) answer.errors.emplace_back(Remedy::retry, "connection reset");
      }
    RunOptions past;
    past.backfill.emplace("past", Day(2026, 2, 20), Day(2026, 3, 1));
    RunRecord backfill, live;
    backfill.pipeline = live.pipeline = "p";
    backfill.id = "backfill";
    live.id = "live";
    const auto both = [&]() -> task<void> {
      TaskGroup group(f.world.executor());
      group.spawn([](Fixture& x, RunRecord& r, RunOptions& o) -> task<void> {
        const auto ended = co_await run_pipeline(x.pipeline, r, o, x.context);
        CHECK(ended.outcome == Outcome::succeeded);
      }(f, backfill, past));
      const auto ended = co_await run_pipeline(f.pipeline, live, f.options, f.context);
      CHECK(ended.outcome == Outcome::succeeded);
      co_await group.join();
    };
    f.world.run(both());
    CHECK(f.sink.rows["days"].size() == 4 * 12 * 2);
    for (const auto& account : f.connector.accounts) CHECK(f.progress(account.id.c_str()).done_to == "2026-03-03");
    CHECK(f.source.places.available() == 4);
    CHECK(f.source.backfill_places.available() == 3);
    CHECK(f.shared_sink.permits.available() == 2);
    CHECK(f.shared_sink.backfill_permits.available() == 1);
  }
}

TEST_CASE("many slices of many partitions share few sink connections without a deadlock") {
  Fixture f;
  f.connector.accounts.clear();
  f.pipeline.streams[0].start = Day(2026, 1, 1);
  for (const auto* id : {"a", "b", "c", "d", "e"}) f.connector.accounts.emplace_back(id);
  for (auto& account : f.connector.accounts)
    for (Day day(2026, 1, 1); day <= Day(2026, 3, 3); ++day) {
      auto& answer = f.connector.answers[account.id + "/" + format_day(day)];
      answer.reads = {{1}};
      answer.delay = std::chrono::seconds((day - Day(2026, 1, 1)) % 3 == 0 ? 30 : 1);
    }
  const auto ended = f.run();
  CHECK(ended.outcome == Outcome::succeeded);
  CHECK(f.sink.rows["days"].size() == 5 * 62);
  CHECK(f.connector.most_reading <= 4);
}
