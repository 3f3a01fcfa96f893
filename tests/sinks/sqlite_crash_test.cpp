#include <catch2/catch.hpp>
#include <csignal>
#include <random>
#include <thread>

#include "db/sqlite.hpp"
#include "tests/sinks/sqlite_fixture.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace sluice::conformance;
using namespace sluice::test;
using sqlite::Database;

namespace {

constexpr int rows_per_day = 40;

// Day after day, each with the day before it once more, changed: for ever.
void publish_for_ever(const std::string& path) {
  Process process(path);
  const LaneId lane("ads", "stream", "a", "live");
  auto next =
      parse_day(process.world.run(process.sink->progress(lane, "insights", "")).done_to.value_or(format_day(first_day)))
          .value();
  for (int round = 0;; ++round) {
    process.load(insights(), day_slice(next), rows_of(next, rows_per_day, round), format_day(next + 1));
    if (next > first_day) process.load(insights(), day_slice(next - 1), rows_of(next - 1, rows_per_day, -round));
    next = next + 1;
  }
}

// Numbered rows: nothing is missing up to the progress, nothing is there twice or beyond it, and the books add up.
void check_books(const std::string& path) {
  Database database(path);
  CHECK(database.number("SELECT 1 FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
  const auto version = database.number("SELECT version FROM _sluice_progress").value_or(0);
  CHECK(database.number("SELECT count(*) FROM _sluice_loads") == version);
  if (version == 0) return;
  auto row = database.prepare("SELECT done_to FROM _sluice_progress");
  REQUIRE(row.step());
  const auto days = *parse_day(row.text(0)) - first_day;
  CHECK(database.number("SELECT count(*) FROM insights") == days * rows_per_day);
  CHECK(database.number("SELECT count(DISTINCT date_start) FROM insights") == days);
  CHECK(database.number("SELECT count(*) FROM insights WHERE date_start >= (SELECT done_to FROM _sluice_progress)") ==
        0);
  CHECK(database.number("SELECT count(*) FROM (SELECT date_start FROM insights GROUP BY 1 HAVING count(*) <> " +
                        std::to_string(rows_per_day) + ")") == 0);
  CHECK(database.number("SELECT sum(inserted) - sum(deleted) FROM _sluice_loads") == days * rows_per_day);
  CHECK(database.number(
            "SELECT count(*) FROM _sluice_loads WHERE \"read\" <> inserted + updated + unchanged + duplicate + "
            "quarantined + filtered") == 0);
  // A window is whole, of one read: half of an update would show two.
  CHECK(
      database.number(
          "SELECT count(*) FROM (SELECT date_start FROM insights GROUP BY 1 HAVING count(DISTINCT impressions) > 1)") ==
      0);
}

// Day after day: half of its rows fit, half are quarantined; then the quarantined ones of all days are tried again.
void replay_for_ever(const std::string& path) {
  Process process(path);
  for (int round = 0;; ++round) {
    const auto reads = process.world.run(process.sink->quarantined_reads("ads", "stream", {}));
    for (const auto& read : reads) {
      QuarantineFilter filter;
      filter.slice = read.slice;
      const auto rows = process.world.run(process.sink->quarantined("ads", "stream", filter, 1000));
      const auto slice = parse_slice(read.slice).value();
      const LaneId lane("ads", "stream", "a", "replay");
      const auto load = process.world.run(process.sink->open(insights(), lane, slice, read.run, read.started));
      for (const auto& row : rows) {
        auto batch = batch_of(insights(), {{"a", slice.day_window()->from, row.raw, 1, "0.10", "x"}});
        batch.set_raw(row.raw);
        process.world.run(load->stage(batch));
      }
      process.world.run(load->replay(rows));
    }
    const LaneId lane("ads", "stream", "a", "live");
    const auto progress = process.world.run(process.sink->progress(lane, "insights", ""));
    const auto next = parse_day(progress.done_to.value_or(format_day(first_day))).value();
    const auto load = process.world.run(
        process.sink->open(insights(), lane, day_slice(next), "run" + std::to_string(progress.version), Instant()));
    auto batch = batch_of(insights(), rows_of(next, 10, 1));
    for (int i = 0; i < 10; ++i) batch.rejects.push_back(Reject{"", "did not fit", "type", std::to_string(2000 + i)});
    process.world.run(load->stage(batch));
    Publication publication;
    publication.expected_version = progress.version;
    publication.read = 20;
    publication.done_to = format_day(next + 1);
    process.world.run(load->publish(publication));
  }
}

// Each row is in one of the two, and the books know of it.
void check_rows(const std::string& path) {
  Database database(path);
  const auto days = database.number("SELECT version FROM _sluice_progress").value_or(0);
  const auto loaded = database.number("SELECT count(*) FROM insights").value();
  const auto waiting = database.number("SELECT count(*) FROM _sluice_quarantine").value();
  CHECK(loaded + waiting == days * 20);
  CHECK(waiting <= 10);
  CHECK(database.number("SELECT coalesce(sum(inserted), 0) FROM _sluice_loads") == loaded);
}

// Lets `forever` run on `path` in process after process, each of which is killed at a random instant, and checks what
// is there, until the count that `done` asks for has passed thirty.
void kill_often(const std::string& path, unsigned seed, const char* done, void (*forever)(const std::string& path),
                void (*check)(const std::string& path)) {
  {
    Process process(path);
    process.world.run(process.sink->prepare(insights()));
  }
  std::mt19937 random(seed);
  int longest = 120;  // milliseconds
  const auto count = [&] { return Database(path).number(done).value_or(0); };
  for (int kill_number = 0; kill_number < 30 || (count() <= 30 && kill_number < 300); ++kill_number) {
    const auto before = count();
    const auto child = in_child([&] {
      forever(path);
      return 0;
    });
    REQUIRE(child > 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution<int>(1, longest)(random)));
    kill(child, SIGKILL);
    CHECK(WIFSIGNALED(wait_for(child)));
    check(path);
    if (count() == before) longest = std::min(longest * 2, 2000);  // a slow machine gets little done in a life
  }
  CHECK(count() > 30);
}

}  // namespace

TEST_CASE("killed at any instant, SQLite holds whole slices, progress and ledger together") {
  const Folder folder;
  kill_often(folder / "warehouse.db", 20260302, "SELECT version FROM _sluice_progress", publish_for_ever, check_books);
}

TEST_CASE("killed at any instant of a replay, each row is in the table or in the quarantine, and in one of them") {
  const Folder folder;
  kill_often(folder / "warehouse.db", 20260303, "SELECT count(*) FROM _sluice_loads WHERE lane = 'replay'",
             replay_for_ever, check_rows);
}
