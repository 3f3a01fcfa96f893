#include "scheduler/run.hpp"

#include <catch2/catch.hpp>

#include "tests/support/events.hpp"
#include "tests/support/memory_sink.hpp"
#include "tests/support/scripted_connector.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::MemorySink;
using test::ScriptedConnector;

namespace {

// One pipeline with one stream of days 2026-03-01, 03-02 and today, 03-03.
struct Fixture {
  test::World world{*parse_instant("2026-03-03T12:00:00Z")};
  test::RecordedEvents events;
  Rng rng{1};
  MemorySink sink;
  ScriptedConnector connector{world.clock()};
  SharedSource source{connector, world.executor()};
  SharedSink shared_sink{sink, world.executor(), 2};
  Semaphore memory{world.executor(), 1 << 20};
  RunMemory remembered;
  RunContext context{world.executor(), source, shared_sink, memory, world.clock(), events, rng, remembered};
  Pipeline pipeline;
  RunOptions options;

  Fixture() {
    pipeline.name = "p";
    StreamPlan stream;
    stream.name = "days";
    stream.spec = ScriptedConnector::days();
    stream.start = Day(2026, 3, 1);
    stream.lookback = 24h;
    stream.table.name = "days";
    stream.table.cursor = Cursor::date;
    Faults faults;
    stream.transform = Transform::make(stream.spec, {}, stream.table, faults);
    REQUIRE(faults.empty());
    pipeline.streams.push_back(stream);
    for (const auto* day : {"a/2026-03-01", "a/2026-03-02", "a/2026-03-03"}) connector.answers[day].reads = {{1, 2}};
  }

  RunEnded run() {
    RunRecord record;
    record.id = "run";
    record.pipeline = pipeline.name;
    record.trigger = "manual";
    record.started = record.planned = world.clock().now();
    auto ended = world.run(run_pipeline(pipeline, record, options, context));
    CHECK(sink.open_loads == 0);
    CHECK(connector.now_reading == 0);
    CHECK(source.slots.available() == connector.parallel_slices());
    CHECK(shared_sink.permits.available() == 2);
    CHECK(memory.available() == 1 << 20);
    return ended;
  }

  Progress progress(const char* partition = "a", const char* lane = "live") {
    return sink.progresses[LaneId("p", "days", partition, lane)];
  }
};

}  // namespace

TEST_CASE("a run loads every slice and moves progress to today") {
  Fixture f;
  const auto ended = f.run();
  CHECK(ended.outcome == Outcome::succeeded);
  CHECK(ended.slices_published == 3);
  CHECK(ended.counts.read == 6);
  CHECK(f.sink.rows["days"].size() == 6);
  CHECK(f.progress().done_to == "2026-03-03");
  CHECK(f.events.of<SliceEnded>().size() == 3);
  REQUIRE(f.events.of<WatermarkMoved>().size() == 1);
  CHECK(format_instant(f.events.of<WatermarkMoved>()[0].watermark) == "2026-03-03T12:00:00Z");
}

TEST_CASE("a quota that is used up for hours fails the slice at once, and the run says how long") {
  Fixture f;
  f.connector.answers["a/2026-03-02"].errors.emplace_back(Remedy::postpone, "the quota is used up", 9h);
  const auto began = f.world.clock().uptime();
  const auto ended = f.run();
  CHECK(f.world.clock().uptime() == began);
  CHECK(ended.outcome == Outcome::partial);
  CHECK(ended.passing);
  CHECK(ended.wait == Duration(9h));
}

TEST_CASE("types that only the source knows are the table's, where no cast says otherwise") {
  Fixture f;
  auto& plan = f.pipeline.streams[0];
  plan.spec.columns[0].type = plan.spec.columns[2].type = Type::text;
  TransformStep cast;
  cast.action = TransformStep::Action::cast;
  cast.pairs = {{"n", "text"}};
  Faults faults;
  plan.transform = Transform::make(plan.spec, {cast}, plan.table, faults);
  REQUIRE(faults.empty());
  f.connector.known_types = {{"n", Type::int64}};
  f.run();
  REQUIRE(f.connector.specs.size() == 3);
  CHECK(f.connector.specs[0].columns[2].type == DataType(Type::int64));
  CHECK(f.sink.rows["days"].front().at("n") == "1");

  plan.learn({{"n", Type::int64}, {"account", Type::uuid}, {"unknown", Type::json}});
  CHECK(plan.table.columns[0].type == DataType(Type::uuid));
  CHECK(plan.table.columns[2].type == DataType(Type::text));
}

TEST_CASE("slices are extracted side by side and published in the order of progress") {
  Fixture f;
  f.connector.answers["a/2026-03-01"].delay = 10s;
  f.connector.answers["a/2026-03-02"].delay = 5s;
  f.run();
  CHECK(f.connector.most_reading == 3);
  CHECK(f.sink.published == std::vector<std::string>{"a/2026-03-01", "a/2026-03-02", "a/2026-03-03"});
}

TEST_CASE("lookback slices are published when they are ready") {
  Fixture f;
  f.run();
  f.sink.published.clear();
  f.connector.answers["a/2026-03-02"].delay = 10s;
  f.run();
  CHECK(f.sink.published == std::vector<std::string>{"a/2026-03-03", "a/2026-03-02"});
}

TEST_CASE("a slice that fails for a passing cause is read again") {
  Fixture f;
  f.connector.answers["a/2026-03-02"].errors.emplace_back(Remedy::retry, "connection reset");
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.rows["days"].size() == 6);
}

TEST_CASE("what is refused for a whole partition is not asked for slice after slice") {
  Fixture f;
  f.connector.accounts.emplace_back("b");
  f.options.parallel = 1;
  const auto remedy = GENERATE(Remedy::give_up_partition, Remedy::reauthenticate);
  for (const auto* day : {"a/2026-03-01", "a/2026-03-02", "a/2026-03-03"})
    f.connector.answers[day].errors.emplace_back(remedy, "grant ads_read");
  const auto ended = f.run();
  CHECK(std::count_if(f.connector.reads.begin(), f.connector.reads.end(),
                      [](const std::string& id) { return id.starts_with("a/"); }) == 1);
  CHECK(ended.outcome == Outcome::partial);
  CHECK(ended.slices_failed == 3);
  CHECK(ended.slices_published == 3);
  CHECK_FALSE(ended.passing);
  int failed = 0;
  for (const auto& slice : f.events.of<SliceEnded>()) {
    failed += slice.outcome == SliceOutcome::failed;
    CHECK(slice.partition == slice.slice.substr(0, 1));
  }
  CHECK(failed == 3);
}

TEST_CASE("a slice that fails after a long wait is read again all the same") {
  Fixture f;
  f.connector.answers["a/2026-03-02"].delay = 20min;
  f.connector.answers["a/2026-03-02"].errors.emplace_back(Remedy::retry, "the window will be read again in parts");
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.rows["days"].size() == 6);
}

TEST_CASE("a slice that fails for good stops no other, and progress stays before it") {
  Fixture f;
  f.connector.answers["a/2026-03-02"].errors.emplace_back(Remedy::give_up, "(#100) bad parameter");
  const auto ended = f.run();
  CHECK(ended.outcome == Outcome::partial);
  CHECK(ended.slices_failed == 1);
  CHECK_FALSE(ended.passing);
  CHECK_THAT(ended.message, Catch::Contains("2026-03-02") && Catch::Contains("(#100) bad parameter"));
  CHECK(f.sink.rows["days"].size() == 4);
  CHECK(f.progress().done_to == "2026-03-02");
  // The next run brings what is missing.
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.rows["days"].size() == 6);
  CHECK(f.progress().done_to == "2026-03-03");
}

TEST_CASE("partitions do not stop one another") {
  Fixture f;
  f.connector.accounts.emplace_back("b");
  for (const auto* day : {"b/2026-03-01", "b/2026-03-02", "b/2026-03-03"})
    f.connector.answers[day].errors = {Error(Remedy::give_up, "no permission")};
  const auto ended = f.run();
  CHECK(ended.outcome == Outcome::partial);
  CHECK(f.progress("a").done_to == "2026-03-03");
  CHECK_FALSE(f.progress("b").done_to);
  CHECK(f.events.of<WatermarkMoved>().empty());
}

TEST_CASE("a mistake of ours in one partition does not stop the others") {
  Fixture f;
  f.connector.accounts.emplace_back("b");
  f.connector.answers["a/2026-03-01"].delay = 10s;
  f.connector.broken_account = "b";
  const auto ended = f.run();
  CHECK(ended.outcome == Outcome::partial);
  CHECK(ended.slices_published == 3);
  CHECK_THAT(ended.message, Catch::Contains("days b: a mistake of ours"));
}

TEST_CASE("an inactive partition is reported once and left out") {
  Fixture f;
  f.connector.accounts.emplace_back("b");
  f.connector.accounts[1].active = false;
  f.connector.accounts[1].inactive_reason = "the account is disabled";
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.events.of<Notice>().size() == 1);
  CHECK(f.events.of<WatermarkMoved>().size() == 2);
}

TEST_CASE("an empty answer for a window with rows is asked for once more, then believed") {
  Fixture f;
  f.run();
  f.connector.reads.clear();
  f.connector.answers["a/2026-03-03"].reads = {{}, {}, {}};
  f.run();
  CHECK(std::count(f.connector.reads.begin(), f.connector.reads.end(), "a/2026-03-03") == 2);
  CHECK(f.sink.rows["days"].size() == 4);
}

TEST_CASE("an empty answer that was a mistake is not believed") {
  Fixture f;
  f.run();
  auto& today = f.connector.answers["a/2026-03-03"];
  today.count = 0;
  today.reads = {{}, {1, 2, 3}};
  f.run();
  CHECK(f.sink.rows["days"].size() == 7);
}

TEST_CASE("a lost reply to COMMIT neither loses nor repeats the slice, and the lane goes on") {
  Fixture f;
  f.sink.lose_next_commit_reply = true;
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.rows["days"].size() == 6);
  CHECK(f.progress().done_to == "2026-03-03");
}

TEST_CASE("a lane that another process took over stops, and nothing is written") {
  Fixture f;
  f.connector.answers["a/2026-03-01"].delay = 10s;
  const auto interfere = [&]() -> task<void> {
    co_await f.world.clock().sleep_for(5s);
    f.sink.progresses[LaneId("p", "days", "a", "live")].version = 40;
  };
  RunRecord record;
  record.id = "run";
  record.pipeline = "p";
  const auto both = [&]() -> task<void> {
    TaskGroup group(f.world.executor());
    group.spawn(interfere());
    const auto ended = co_await run_pipeline(f.pipeline, record, f.options, f.context);
    co_await group.join();
    CHECK(ended.outcome == Outcome::failed);
    CHECK_THAT(ended.message, Catch::Contains("another process took over"));
  };
  f.world.run(both());
  CHECK(f.sink.rows["days"].empty());
}

TEST_CASE("a run without a published slice for too long is stopped; one that makes progress is not") {
  Fixture f;
  f.pipeline.timeout = 1h;
  f.connector.answers["a/2026-03-01"].delay = 50min;
  f.connector.answers["a/2026-03-02"].delay = 100min;
  f.connector.answers["a/2026-03-03"].delay = 100min;
  CHECK(f.run().outcome == Outcome::succeeded);

  Fixture g;
  g.pipeline.timeout = 1h;
  g.connector.answers["a/2026-03-02"].delay = 100min;
  const auto ended = g.run();
  CHECK(ended.outcome == Outcome::partial);
  CHECK(ended.passing);
  CHECK_THAT(ended.message, Catch::Contains("no slice was published within 1h") && Catch::EndsWith(".timeout)"));

  Fixture h;
  h.pipeline.timeout = 1h;
  h.connector.answers["a/2026-03-02"].delay = 100min;
  h.connector.waits_for = "the rate limit of meta kept 3 calls waiting";
  CHECK_THAT(h.run().message, Catch::EndsWith(".timeout); the rate limit of meta kept 3 calls waiting"));
}

TEST_CASE("a cancelled run ends as cancelled, leaves nothing behind, and the next run completes it") {
  Fixture f;
  f.connector.answers["a/2026-03-02"].delay = 1h;
  RunRecord record;
  record.id = "run";
  record.pipeline = "p";
  RunEnded ended;
  const auto run = [](Fixture& x, RunRecord& r, RunEnded& told) -> task<void> {
    told = co_await run_pipeline(x.pipeline, r, x.options, x.context);
  };
  f.world.run_until(*parse_instant("2026-03-03T12:10:00Z"), run(f, record, ended));
  REQUIRE(f.events.of<RunEnded>().size() == 1);
  CHECK(f.events.of<RunEnded>()[0].outcome == Outcome::cancelled);
  CHECK(ended.outcome == Outcome::cancelled);
  CHECK(ended.slices_published > 0);
  CHECK(ended.counts.read == f.events.of<RunEnded>()[0].counts.read);
  CHECK(ended.counts.read > 0);
  CHECK(f.sink.open_loads == 0);
  CHECK(f.source.slots.available() == 4);
  CHECK(f.shared_sink.permits.available() == 2);
  f.connector.answers["a/2026-03-02"].delay = 0s;
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.rows["days"].size() == 6);
}

TEST_CASE("a full refresh reads from the start again and has every row compared") {
  Fixture f;
  f.run();
  CHECK(f.sink.compared_all == std::vector<bool>{false, false, false});
  f.connector.reads.clear();
  f.options.full_refresh = true;
  CHECK(f.run().slices_published == 3);
  CHECK(f.connector.reads.size() == 3);
  CHECK(f.sink.compared_all == std::vector<bool>{false, false, false, true, true, true});
  CHECK(f.progress().done_to == "2026-03-03");
}

TEST_CASE("a sink that is away while the table is prepared is asked again; one that refuses is not") {
  Fixture f;
  f.sink.fail_prepares = {Error(Remedy::retry, "it restarts"), Error(Remedy::retry, "it restarts")};
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.fail_prepares.empty());

  Fixture g;
  g.sink.fail_prepares = {Error(Remedy::give_up, "no permission"), Error(Remedy::give_up, "no permission")};
  CHECK(g.run().message == "days: no permission");
  CHECK(g.sink.fail_prepares.size() == 1);

  Fixture h;
  h.sink.fail_prepares = std::vector<Error>(4, Error(Remedy::retry, "it is gone"));
  CHECK(h.run().message == "days: it is gone");
  CHECK(h.sink.fail_prepares.size() == 1);
}

TEST_CASE("characters that had to be repaired are counted and said once") {
  Fixture f;
  f.connector.answers["a/2026-03-01"].repaired = 3;
  f.connector.answers["a/2026-03-02"].repaired = 4;
  CHECK(f.run().outcome == Outcome::succeeded);
  REQUIRE(f.events.of<Notice>().size() == 1);
  CHECK(f.events.of<Notice>()[0].message == "7 characters that no database holds (not UTF-8, or U+0000) became U+FFFD");
}

TEST_CASE("a new field is added to the table and the slice is read again with it") {
  Fixture f;
  f.pipeline.streams[0].spec.new_fields = NewFields::add;
  f.connector.answers["a/2026-03-02"].unknown = {{"fresh", DataType(Type::text)}};
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.columns["days"] == std::vector<std::string>{"account", "day", "n", "fresh"});
  CHECK(f.sink.rows["days"].size() == 6);
  REQUIRE(f.events.of<SchemaChanged>().size() == 1);
  CHECK(f.events.of<SchemaChanged>()[0].action == "column_added");
}

TEST_CASE("a field inside an object gets a column that reads it by its path, named for every sink") {
  Fixture f;
  f.pipeline.streams[0].spec.new_fields = NewFields::add;
  f.connector.answers["a/2026-03-02"].unknown = {{"creative/thumbnailUrl", DataType(Type::text)}};
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.columns["days"] == std::vector<std::string>{"account", "day", "n", "creative_thumbnail_url"});
  CHECK(f.sink.rows["days"].size() == 6);
  CHECK(f.connector.specs.back().columns.back().path == "creative/thumbnailUrl");
}

TEST_CASE("a new field whose column would not be its own is said once and left out, and its rows are loaded") {
  Fixture f;
  f.pipeline.streams[0].spec.new_fields = NewFields::add;
  for (auto& answer : f.connector.answers)
    answer.second.unknown = {{"N", DataType(Type::text)}, {"имя", DataType(Type::text)}, {"fresh", DataType()}};
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.columns["days"] == std::vector<std::string>{"account", "day", "n", "fresh"});
  CHECK(f.sink.rows["days"].size() == 6);
  std::vector<std::string> refused;
  for (const auto& change : f.events.of<SchemaChanged>())
    if (change.action == "refused") refused.push_back(change.message);
  REQUIRE(refused.size() == 2);
  CHECK(refused[0] ==
        "stream days: the source's new field 'N' is not loaded: there is a column n already; it can be "
        "kept by new_fields: keep_in_extra");
  CHECK_THAT(refused[1], Catch::Contains("no name for a column"));
}

TEST_CASE("a new field that the transform drops does not reach the table") {
  Fixture f;
  auto& stream = f.pipeline.streams[0];
  stream.spec.new_fields = NewFields::add;
  TransformStep drop;
  drop.action = TransformStep::Action::drop;
  drop.columns = {"fresh"};
  Faults faults;
  stream.transform = Transform::make(stream.spec, {drop}, stream.table, faults);
  f.connector.answers["a/2026-03-02"].unknown = {{"fresh", DataType(Type::text)}};
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.columns["days"] == std::vector<std::string>{"account", "day", "n"});
}

TEST_CASE("a new field that is ignored is said once") {
  Fixture f;
  for (auto& answer : f.connector.answers) answer.second.unknown = {{"fresh", DataType(Type::text)}};
  CHECK(f.run().outcome == Outcome::succeeded);
  REQUIRE(f.events.of<SchemaChanged>().size() == 1);
  CHECK(f.events.of<SchemaChanged>()[0].action == "unknown_field");
}

TEST_CASE("a backfill loads beside the live lane and leaves its progress alone") {
  Fixture f;
  f.run();
  f.options.backfill.emplace("again", Day(2026, 3, 1), Day(2026, 3, 2));
  CHECK(f.run().slices_published == 2);
  CHECK(f.progress().done_to == "2026-03-03");
  CHECK(f.progress("a", "again").done_to == "2026-03-03");
  // The same command again has nothing left to do.
  CHECK(f.run().slices_published == 0);
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
    CHECK(f.source.slots.available() == 4);
    CHECK(f.source.backfill_slots.available() == 3);
    CHECK(f.shared_sink.permits.available() == 2);
    CHECK(f.shared_sink.backfill_permits.available() == 1);
  }
}

TEST_CASE("objects: each run for a missed fire reads up to its instant, and one that comes late changes nothing") {
  Fixture f;
  f.pipeline.streams[0].spec.cursor = Cursor::value;
  f.pipeline.streams[0].table.cursor = Cursor::value;
  for (const auto* planned : {"2026-03-03T09:00:00Z", "2026-03-03T10:00:00Z"}) {
    f.options.up_to = *parse_instant(planned);
    CHECK(f.run().outcome == Outcome::succeeded);
    CHECK(f.progress().done_to == planned);
  }
  f.options.up_to.reset();
  f.run();
  CHECK(f.progress().done_to == "2026-03-03T12:00:00Z");
  f.options.up_to = *parse_instant("2026-03-03T11:00:00Z");
  CHECK(f.run().slices_published == 0);
  CHECK(f.progress().done_to == "2026-03-03T12:00:00Z");
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

TEST_CASE("when the partitions cannot be listed the run fails with that message") {
  Fixture f;
  f.connector.partitions_error = Error(Remedy::give_up, "the token has expired");
  const auto ended = f.run();
  CHECK(ended.outcome == Outcome::failed);
  CHECK(ended.message == "days: the token has expired");
}

TEST_CASE("a stream that is given another table is loaded from its start again") {
  Fixture f;
  f.run();
  f.pipeline.streams[0].table.name = "days_v2";
  CHECK(f.run().slices_published == 3);
  CHECK(f.sink.rows["days_v2"].size() == 6);
  CHECK(f.progress().done_to == "2026-03-03");
}

TEST_CASE("a backfill's name that is used for other days loads all of them; the same days are resumed") {
  Fixture f;
  const auto backfill = [&](int from, int to) {
    f.sink.published.clear();
    f.options.backfill.emplace("y", Day(2026, 2, from), Day(2026, 2, to));
    return f.run();
  };
  backfill(10, 11);
  CHECK(f.sink.published == std::vector<std::string>{"a/2026-02-10", "a/2026-02-11"});
  f.connector.answers["a/2026-02-11"].errors.emplace_back(Remedy::give_up, "no");
  CHECK(backfill(9, 12).outcome == Outcome::partial);
  CHECK(f.progress("a", "y").done_to == "2026-02-11");
  backfill(9, 12);
  CHECK(f.sink.published == std::vector<std::string>{"a/2026-02-11", "a/2026-02-12"});
  const auto nothing = backfill(9, 12);
  CHECK(nothing.slices_published == 0);
  CHECK_THAT(nothing.message, Catch::Contains("days: the backfill y was finished on"));
  CHECK(backfill(9, 11).message.empty());
  CHECK(f.sink.published == std::vector<std::string>{"a/2026-02-09", "a/2026-02-10", "a/2026-02-11"});
}

TEST_CASE("a table that a pipeline of another name has loaded is loaded anew, with a warning") {
  Fixture f;
  f.sink.loaded_by["days"] = {"old"};
  f.run();
  REQUIRE(f.events.of<Notice>().size() == 1);
  CHECK(f.events.of<Notice>()[0].level == Level::warning);
  CHECK_THAT(f.events.of<Notice>()[0].message,
             Catch::Contains("loaded by the pipeline old until now") && Catch::Contains("under the name p"));
  f.sink.loaded_by["days"] = {"old", "p"};
  f.run();
  CHECK(f.events.of<Notice>().size() == 1);
}
