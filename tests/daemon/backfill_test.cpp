#include "daemon/backfill.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using Catch::Contains;

namespace {

Day march(int day) {
  return Day(2026, 3, day);
}
// Days of March, the last one included.
DayWindow days(int from, int last) {
  return {march(from), march(last) + 1};
}

}  // namespace

TEST_CASE("what only a backfill brings, from its first to its last day") {
  struct Case {
    std::string what;
    std::optional<Day> start;
    std::vector<DayWindow> loaded;
    bool new_columns;
    std::optional<DayWindow> missing;
  };
  // The next run reads from the 20th on.
  const Case cases[] = {
      {"no start was ever given", {}, {days(10, 25)}, false, {}},
      {"start is where loading began", march(10), {days(10, 25)}, false, {}},
      {"start is earlier", march(1), {days(10, 25)}, false, days(1, 9)},
      {"start is earlier, and a backfill has brought it", march(1), {days(10, 25), days(1, 5), days(6, 9)}, false, {}},
      {"the backfill did not get there", march(1), {days(10, 25), days(1, 5)}, false, days(6, 9)},
      {"two gaps", march(1), {days(3, 4), days(10, 25)}, false, days(1, 9)},
      {"a gap in the middle of overlapping windows",
       march(1),
       {days(1, 8), days(2, 3), days(10, 25)},
       false,
       days(9, 9)},
      {"windows from before the start", march(5), {days(1, 6), days(10, 25)}, false, days(7, 9)},
      {"the ledger remembers nothing", march(1), {}, false, days(1, 19)},
      {"the next run reads from the start itself", march(20), {}, false, {}},
      {"start is later than what the next run reads", march(25), {days(10, 25)}, false, {}},
      {"new columns: all that is loaded and not read again", {}, {days(12, 25), days(10, 11)}, true, days(10, 19)},
      {"new columns: from start on", march(5), {days(10, 25)}, true, days(5, 19)},
      {"new columns: the next run reads everything again", {}, {days(20, 25)}, true, {}},
      {"new columns of what is not loaded", {}, {}, true, {}},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    Unloaded what;
    what.start = c.start;
    what.next_run = march(20);
    what.loaded = c.loaded;
    what.new_columns = c.new_columns;
    CHECK(needs_backfill(what) == c.missing);
  }
}

TEST_CASE("a backfill's name is no other lane's, and one that every sink and file system takes") {
  const auto lane = [](const std::string& name) { return backfill_lane(name, march(1), march(9)); };
  CHECK(lane("") == "backfill-2026-03-01-2026-03-09");
  CHECK(lane("Spring_2026-a.b") == "Spring_2026-a.b");
  CHECK(lane(std::string(63, 'a')).size() == 63);
  for (const auto& bad : {std::string("live"), std::string("sweep"), std::string("a b"), std::string("a/b"),
                          std::string("é"), std::string(64, 'a')})
    CHECK_THROWS_WITH(lane(bad), Contains("name: "));
}

TEST_CASE("the command of a backfill resumes no lane that was done") {
  CHECK(backfill_command("facebook", "insights", days(1, 9), {"live"}) ==
        "sluice backfill facebook --from 2026-03-01 --to 2026-03-09 --stream insights");
  CHECK(backfill_command("facebook", "insights", days(1, 9),
                         {"backfill-2026-03-01-2026-03-09", "backfill-2026-03-01-2026-03-09-2"}) ==
        "sluice backfill facebook --from 2026-03-01 --to 2026-03-09 --stream insights --name "
        "backfill-2026-03-01-2026-03-09-3");
}
