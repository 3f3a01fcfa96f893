#include "tests/scheduler/run_fixture.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using Fixture = test::RunFixture;

// What a run loads, and how far progress moves.

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

TEST_CASE("what is masked is a text, whatever the source says of its type") {
  Fixture f;
  auto& plan = f.pipeline.streams[0];
  plan.spec.columns[2].type = Type::text;
  plan.spec.key = {"account", "day"};
  TransformStep mask;
  mask.action = TransformStep::Action::mask;
  mask.pairs = {{"n", "redact"}};
  Faults faults;
  plan.transform = Transform::make(plan.spec, {mask}, plan.table, faults);
  for (const auto& fault : faults) FAIL(to_string(fault));
  plan.learn({{"n", Type::int64}});
  CHECK(plan.spec.columns[2].type == DataType(Type::text));
  CHECK(plan.table.columns[2].type == DataType(Type::text));
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

TEST_CASE("a new field whose column cannot be added at once is tried again with the slice") {
  Fixture f;
  f.options.parallel = 1;
  f.pipeline.streams[0].spec.new_fields = NewFields::add;
  f.connector.answers["a/2026-03-02"].unknown = {{"fresh", DataType(Type::text)}};
  // The table was prepared by then: the next time is for the new column.
  f.sink.before_publish = [&f](const Slice& slice) -> task<void> {
    if (slice.id() == "a/2026-03-01") f.sink.fail_prepares.emplace_back(Remedy::retry, "another session holds a lock");
    co_return;
  };
  CHECK(f.run().outcome == Outcome::succeeded);
  CHECK(f.sink.fail_prepares.empty());
  CHECK(f.sink.columns["days"] == std::vector<std::string>{"account", "day", "n", "fresh"});
  CHECK(f.sink.rows["days"].size() == 6);
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

TEST_CASE("objects: a sweep reads all again some time after all was read, and not beside it") {
  Fixture f;
  auto& stream = f.pipeline.streams[0];
  stream.spec.cursor = stream.table.cursor = Cursor::value;
  stream.sweep = 7 * 24h;
  const auto reads_of = [&f](bool full_refresh) {
    f.connector.reads.clear();
    f.options.full_refresh = full_refresh;
    CHECK(f.run().outcome == Outcome::succeeded);
    return f.connector.reads;
  };
  using Reads = std::vector<std::string>;
  // The first run reads all.
  CHECK(reads_of(false) == Reads{"a/(, 2026-03-03T12:00:00Z]"});
  CHECK(f.progress("a", "sweep").done_to == "2026-03-03T12:00:00Z");
  f.world.clock().step(6 * 24h);
  CHECK(reads_of(false) == Reads{"a/(2026-03-03T12:00:00Z, 2026-03-09T12:00:00Z]"});
  f.world.clock().step(24h);
  CHECK(reads_of(false) == Reads{"a/(2026-03-09T12:00:00Z, 2026-03-10T12:00:00Z]", "a/(, 2026-03-10T12:00:00Z]"});
  CHECK(f.progress("a", "sweep").done_to == "2026-03-10T12:00:00Z");
  // A full refresh reads all, whether a sweep is due or not.
  f.world.clock().step(24h);
  CHECK(reads_of(true) == Reads{"a/(, 2026-03-11T12:00:00Z]"});
  CHECK(f.progress("a", "sweep").done_to == "2026-03-11T12:00:00Z");
  f.world.clock().step(7 * 24h);
  CHECK(reads_of(true) == Reads{"a/(, 2026-03-18T12:00:00Z]"});
  CHECK(f.progress().done_to == "2026-03-18T12:00:00Z");
}

TEST_CASE("objects: a stream that was loaded before it had a sweep is swept at once; one that fails is not") {
  Fixture f;
  auto& stream = f.pipeline.streams[0];
  stream.spec.cursor = stream.table.cursor = Cursor::value;
  f.run();
  stream.sweep = 7 * 24h;
  f.world.clock().step(1h);
  auto& changes = f.connector.answers["a/(2026-03-03T12:00:00Z, 2026-03-03T13:00:00Z]"];
  changes.errors.emplace_back(Remedy::give_up, "(#100) bad parameter");
  CHECK(f.run().slices_published == 0);
  CHECK_FALSE(f.progress("a", "sweep").done_to);
  CHECK(f.run().slices_published == 2);
  CHECK(f.connector.reads.back() == "a/(, 2026-03-03T13:00:00Z]");
  CHECK(f.progress("a", "sweep").done_to == "2026-03-03T13:00:00Z");
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
