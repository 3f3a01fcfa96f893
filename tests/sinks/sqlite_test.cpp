#include "sinks/sqlite.hpp"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>

#include "core/worker.hpp"
#include "db/sqlite.hpp"
#include "tests/sinks/sqlite_fixture.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace sluice::conformance;
using namespace sluice::test;
using namespace std::chrono_literals;
using sqlite::Database;

namespace {

template <typename F>
Error error_of(F call) {
  try {
    call();
  } catch (const Error& e) {
    return e;
  }
  throw std::logic_error("no error came");
}

}  // namespace

// In a child, since the limit holds for the whole process.
TEST_CASE("a full disk while publishing loses nothing, says what to do, and the slice goes through later") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  const auto child = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    Process process(path);
    process.world.run(process.sink->prepare(insights()));
    process.load(insights(), day_slice(first_day), rows_of(first_day, 10, 1), "2026-01-02");
    const auto rows = rows_of(first_day + 1, 2000, 2, 1000);
    const rlimit little{1'000'000, RLIM_INFINITY}, plenty{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &little);
    const auto error = error_of([&] { process.load(insights(), day_slice(first_day + 1), rows, "2026-01-03"); });
    setrlimit(RLIMIT_FSIZE, &plenty);
    const std::string message = error.what();
    if (error.remedy() != Remedy::retry) return 1;
    if (message.find(path) == std::string::npos || message.find("free space") == std::string::npos) return 2;
    // That it can be read and staged to does not make it up again.
    const LaneId lane("facebook", "insights", "act_1", "live");
    for (int i = 0; i < 3; ++i) process.world.run(process.sink->progress(lane, "insights", ""));
    if (process.events.of<SinkState>().size() != 2 || process.events.of<SinkState>().back().up) return 3;
    if (Database(path).number("SELECT count(*) FROM insights") != 10) return 4;
    if (Database(path).number("SELECT version FROM _sluice_progress") != 1) return 5;
    if (process.load(insights(), day_slice(first_day + 1), rows, "2026-01-03").counts.inserted != 2000) return 6;
    return process.events.of<SinkState>().back().up ? 0 : 7;
  });
  REQUIRE(child > 0);
  const auto status = wait_for(child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(Database(path).number("SELECT 1 FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
}

TEST_CASE("no space for the temporary file is a passing cause that names the file's folder") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  const auto child = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    Process process(path);
    process.world.run(process.sink->prepare(insights()));
    const auto rows = rows_of(first_day, 20'000, 2, 1000);
    const rlimit little{1'000'000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &little);
    const auto error = error_of([&] { process.load(insights(), day_slice(first_day), rows); });
    if (error.remedy() != Remedy::retry) return 1;
    return std::string(error.what()).find("temporary file") == std::string::npos ? 2 : 0;
  });
  REQUIRE(child > 0);
  CHECK(WEXITSTATUS(wait_for(child)) == 0);
}

TEST_CASE("types are stored so that they are exact and sort") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  Process process(path);
  Table table;
  table.name = "typed";
  const Type types[] = {Type::int64, Type::boolean, Type::float64,   Type::decimal, Type::text, Type::json,
                        Type::date,  Type::time,    Type::timestamp, Type::bytes,   Type::uuid};
  for (const auto type : types)
    table.columns.emplace_back("v" + std::to_string(table.columns.size()), type, table.columns.size());
  table.key = {"v0"};
  process.world.run(process.sink->prepare(table));
  const auto instant = *parse_instant("2026-03-02T12:00:00.5Z");
  process.load(table, Slice::whole(Partition("")),
               {{1, true, 0.5, "1.10", "x", "[]", Day(2026, 3, 2), Duration(1s), instant, "\x01", "u"}});
  Database database(path);
  std::string declared, stored;
  auto columns = database.prepare("SELECT type FROM pragma_table_info('typed') LIMIT 11");
  while (columns.step()) declared += std::string(columns.text(0)) + ' ';
  CHECK(declared == "INTEGER INTEGER REAL TEXT TEXT TEXT TEXT TEXT TEXT BLOB TEXT ");
  auto row = database.prepare(
      "SELECT typeof(v0), typeof(v1), typeof(v2), typeof(v3), typeof(v6), typeof(v8), typeof(v9), v3, v6, v7, v8 FROM "
      "typed");
  REQUIRE(row.step());
  for (int i = 0; i < row.columns(); ++i) stored += std::string(row.text(i)) + ' ';
  CHECK(stored ==
        "integer integer real text text text blob 1.10 2026-03-02 00:00:01.000000 2026-03-02T12:00:00.500000Z ");
}

TEST_CASE("what SQLite cannot do is refused by prepare, and nothing is made") {
  const Folder folder;
  Process process(folder / "warehouse.db");
  auto partitioned = insights();
  partitioned.partition_by = PartitionBy{PartitionBy::Unit::month, "date_start"};
  CHECK_THROWS_WITH(process.world.run(process.sink->prepare(partitioned)), Catch::Contains("SQLite has no partitions"));
  CHECK_THROWS_WITH(process.world.run(process.sink->plan(partitioned)), Catch::Contains("load.partition_by"));
  auto keyless = insights();
  keyless.key.clear();
  CHECK_THROWS_WITH(process.world.run(process.sink->prepare(keyless)), Catch::Contains("needs a key"));
  CHECK(Database(folder / "warehouse.db").number("SELECT count(*) FROM sqlite_schema") == 0);
}

TEST_CASE("looking does not make the file") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  Process process(path);
  const LaneId lane("ads", "stream", "a", "live");
  CHECK_FALSE(process.world.run(process.sink->plan(insights())).empty());
  CHECK(process.world.run(process.sink->progress(lane, "insights", "")).version == 0);
  CHECK(process.world.run(process.sink->count_quarantined("ads", "stream")) == 0);
  CHECK(process.world.run(process.sink->check({})).at(0).level == Finding::Level::ok);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a folder that is missing is named, by check and by prepare") {
  const Folder folder;
  Process process(folder / "nowhere/warehouse.db");
  const auto findings = process.world.run(process.sink->check({}));
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].level == Finding::Level::error);
  CHECK_THAT(findings[0].message, Catch::Contains("nowhere"));
  const auto error = error_of([&] { process.world.run(process.sink->prepare(insights())); });
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("nowhere/warehouse.db"));
}

TEST_CASE("a view that forbids to widen a column has it refused, by name, and the table stays as it was") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  Process process(path);
  process.world.run(process.sink->prepare(insights()));
  process.load(insights(), day_slice(first_day), rows_of(first_day, 2, 7));
  Database(path).exec("CREATE VIEW report AS SELECT sum(impressions) AS total FROM insights");
  auto wider = insights();
  wider.columns[3].type = Type::text;
  const auto changes = process.world.run(process.sink->prepare(wider));
  CHECK(changes == std::map<std::string, std::string>{{"impressions", "refused"}});
  CHECK_THAT(process.events.of<Notice>().at(0).message, Catch::Contains("impressions") && Catch::Contains("report"));
  const auto done =
      process.load(wider, day_slice(first_day + 1),
                   {{"a", first_day + 1, "1", "many", "1", "x"}, {"a", first_day + 1, "2", "8", "1", "x"}});
  CHECK(done.counts.quarantined == 1);
  CHECK(done.counts.inserted == 1);
  CHECK(Database(path).number("SELECT total FROM report") == 22);
}

TEST_CASE("the same number twice is no contradiction where the table's column is text") {
  const Folder folder;
  Process process(folder / "warehouse.db");
  auto texts = insights(), numbers = insights();
  texts.columns[3].type = Type::text;
  numbers.columns[3].type = Type::float64;
  process.world.run(process.sink->prepare(texts));
  process.world.run(process.sink->prepare(numbers));
  const GivenRow row{"a", first_day, "1", 0.12345678901234567, "1", "x"};
  const auto counts = process.load(numbers, day_slice(first_day), {row, row}).counts;
  CHECK(counts.inserted == 1);
  CHECK(counts.duplicate == 1);
}

TEST_CASE("a table is prepared when the publish that is under way has ended, not beside it") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  Process process(path);
  process.world.run(process.sink->prepare(insights()));
  Database(path).exec(
      "CREATE TRIGGER slow BEFORE INSERT ON insights BEGIN SELECT count(*) FROM (WITH RECURSIVE c(x) AS (SELECT 1 "
      "UNION "
      "ALL SELECT x + 1 FROM c WHERE x < 3000000) SELECT x FROM c); END");
  std::int64_t writers = 0;
  const auto side_by_side = [&]() -> task<void> {
    const LaneId lane("ads", "stream", "a", "live");
    const auto load = co_await process.sink->open(insights(), lane, day_slice(first_day), "run1", Instant());
    auto batch = batch_of(insights(), rows_of(first_day, 1, 1));
    load->add(batch);
    co_await load->make_room();
    Publication publication;
    publication.read = 1;
    const auto publish = [&]() -> task<void> { co_await load->publish(publication); };
    const auto prepare = [&]() -> task<void> { co_await process.sink->prepare(insights()); };
    const auto count = [&]() -> task<void> {
      writers = Worker::in_flight();
      co_return;
    };
    TaskGroup group(process.world.executor());
    group.spawn(publish());
    group.spawn(prepare());
    group.spawn(count());
    co_await group.join();
  };
  process.world.run(side_by_side());
  CHECK(writers == 1);
}

TEST_CASE("a reader in the midst of its work keeps seeing the table as it was") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  Process process(path);
  const auto table = notes(LoadMode::replace);
  process.world.run(process.sink->prepare(table));
  const auto all = Slice::whole(Partition("a"));
  process.load(table, all, {{"a", "old", 1}, {"a", "old", 2}});
  Database reader(path, sqlite::Access::read_only);
  reader.exec("BEGIN");
  CHECK(reader.number("SELECT count(*) FROM notes") == 2);
  process.load(table, all, {{"a", "new", 1}});
  CHECK(reader.number("SELECT count(*) FROM notes WHERE note = 'old'") == 2);
  reader.exec("COMMIT");
  CHECK(reader.number("SELECT count(*) FROM notes WHERE note = 'new'") == 1);
}

TEST_CASE("a table that somebody dropped between two runs is asked to be prepared again") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  Process process(path);
  process.world.run(process.sink->prepare(insights()));
  Database(path).exec("DROP TABLE insights");
  const auto error = error_of([&] { process.load(insights(), day_slice(first_day), rows_of(first_day, 2, 7)); });
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("insights"));
}

TEST_CASE("the books of an earlier sluice get the columns that they lack") {
  const Folder folder;
  const auto path = folder / "warehouse.db";
  Process process(path);
  process.world.run(process.sink->prepare(insights()));
  Database(path).exec("ALTER TABLE _sluice_loads DROP COLUMN complete");
  process.world.run(process.sink->prepare(insights()));
  process.load(insights(), day_slice(first_day), rows_of(first_day, 2, 7));
  CHECK(Database(path).number("SELECT complete FROM _sluice_loads") == 1);
}
