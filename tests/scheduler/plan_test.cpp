#include "scheduler/plan.hpp"

#include <rapidcheck.h>

#include <catch2/catch.hpp>

#include "core/error.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

StreamPlan daily(Duration lookback = 48h) {
  StreamPlan stream;
  stream.name = "insights";
  stream.spec.cursor = Cursor::date;
  stream.lookback = lookback;
  return stream;
}

Partition account(const char* zone = "UTC") {
  return Partition("1", *load_zone(zone));
}

Progress done_to(const char* text) {
  Progress progress;
  progress.done_to = text;
  progress.version = 7;
  return progress;
}

// "2026-03-01>2026-03-02 …": window, then the progress that it makes
std::string show(const std::vector<PlannedSlice>& slices) {
  std::string text;
  for (const auto& s : slices)
    text += (text.empty() ? "" : " ") + s.slice.window() + (s.done_to ? ">" + *s.done_to : "");
  return text;
}

Target at(const char* now) {
  return Target(*parse_instant(now));
}

}  // namespace

TEST_CASE("the first run reads from the start to today, and progress stops at the midnight that began today") {
  auto stream = daily();
  stream.start = Day(2026, 3, 1);
  CHECK(show(plan_slices(stream, account(), Progress(), at("2026-03-03T10:00:00Z"))) ==
        "2026-03-01>2026-03-02 2026-03-02>2026-03-03 2026-03-03>2026-03-03");
}

TEST_CASE("without a start the first run goes 28 days back") {
  const auto slices = plan_slices(daily(), account(), Progress(), at("2026-03-29T10:00:00Z"));
  REQUIRE(slices.size() == 29);
  CHECK(slices.front().slice.window() == "2026-03-01");
}

TEST_CASE("later runs read the lookback again without moving progress, and today always") {
  CHECK(show(plan_slices(daily(), account(), done_to("2026-03-03"), at("2026-03-03T23:00:00Z"))) ==
        "2026-03-01 2026-03-02 2026-03-03");
  CHECK(show(plan_slices(daily(), account(), done_to("2026-03-02"), at("2026-03-03T23:00:00Z"))) ==
        "2026-02-28 2026-03-01 2026-03-02>2026-03-03 2026-03-03>2026-03-03");
}

TEST_CASE("after an outage the lookback counts from where progress stood") {
  const auto slices = plan_slices(daily(), account(), done_to("2026-02-20"), at("2026-03-03T00:00:00Z"));
  CHECK(slices.front().slice.window() == "2026-02-18");
  CHECK(slices.back().slice.window() == "2026-03-03");
}

TEST_CASE("today is the partition's own, ahead of UTC and behind it") {
  CHECK(show(plan_slices(daily(0s), account("Asia/Tokyo"), done_to("2026-03-03"), at("2026-03-03T16:00:00Z"))) ==
        "2026-03-03>2026-03-04 2026-03-04>2026-03-04");
  CHECK(show(plan_slices(daily(0s), account("America/Los_Angeles"), done_to("2026-03-02"),
                         at("2026-03-03T05:00:00Z"))) == "2026-03-01 2026-03-02");
}

TEST_CASE("today and yesterday are read always, whatever the lookback") {
  for (const auto lookback : {0h, 24h})
    CHECK(show(plan_slices(daily(lookback), account(), done_to("2026-03-03"), at("2026-03-03T23:00:00Z"))) ==
          "2026-03-02 2026-03-03");
}

TEST_CASE("the lookback does not reach before the start that was asked for") {
  auto stream = daily(28 * 24h);
  stream.start = Day(2026, 3, 1);
  CHECK(plan_slices(stream, account(), done_to("2026-03-03"), at("2026-03-03T10:00:00Z")).front().slice.window() ==
        "2026-03-01");
  // A start that was moved to later than what is loaded does not hide what progress still has to pass.
  stream.start = Day(2026, 6, 1);
  CHECK(plan_slices(stream, account(), done_to("2026-03-03"), at("2026-03-04T10:00:00Z")).front().slice.window() ==
        "2026-03-03");
}

TEST_CASE("no window reaches before what the source still has") {
  auto target = at("2026-03-03T10:00:00Z");
  target.earliest = Day(2026, 3, 2);
  CHECK(show(plan_slices(daily(), account(), Progress(), target)) == "2026-03-02>2026-03-03 2026-03-03>2026-03-03");
}

TEST_CASE("a slice of several days is cut at today") {
  auto stream = daily(0s);
  stream.slice_days = 7;
  stream.start = Day(2026, 2, 20);
  CHECK(show(plan_slices(stream, account(), Progress(), at("2026-03-01T10:00:00Z"))) ==
        "2026-02-20..2026-02-26>2026-02-27 2026-02-27..2026-03-01>2026-03-01");
}

TEST_CASE("a full refresh reads from the start again and never moves progress back") {
  auto stream = daily();
  stream.start = Day(2026, 3, 1);
  auto target = at("2026-03-03T10:00:00Z");
  target.full_refresh = true;
  CHECK(show(plan_slices(stream, account(), done_to("2026-03-03"), target)) == "2026-03-01 2026-03-02 2026-03-03");
}

TEST_CASE("a backfill has a fixed end, no lookback, and resumes") {
  const Backfill backfill("b", Day(2026, 1, 1), Day(2026, 1, 3));
  auto target = at("2026-03-03T10:00:00Z");
  target.backfill = &backfill;
  CHECK(show(plan_slices(daily(), account(), Progress(), target)) ==
        "2026-01-01>2026-01-02 2026-01-02>2026-01-03 2026-01-03>2026-01-04");
  CHECK(show(plan_slices(daily(), account(), done_to("2026-01-03"), target)) == "2026-01-03>2026-01-04");
  CHECK(plan_slices(daily(), account(), done_to("2026-01-04"), target).empty());
}

TEST_CASE("a backfill that loads less than was asked for says why") {
  auto target = at("2026-03-03T10:00:00Z");
  target.earliest = Day(2026, 1, 10);
  auto finished = done_to("2026-02-03");
  finished.updated_at = *parse_instant("2026-02-20T12:00:00Z");
  const auto why = [&](Day from, Day to, const Progress& progress) {
    const Backfill backfill("b", from, to);
    target.backfill = &backfill;
    return shortfall(daily(), account(), progress, target);
  };
  CHECK(why(Day(2026, 2, 1), Day(2026, 2, 2), Progress()).empty());
  CHECK(why(Day(2026, 2, 1), Day(2026, 2, 2), done_to("2026-02-02")).empty());
  CHECK(why(Day(2026, 2, 1), Day(2026, 2, 2), finished) ==
        "the backfill b was finished on 2026-02-20; to load the days again use another --name");
  CHECK(why(Day(2026, 1, 1), Day(2026, 1, 9), Progress()) ==
        "the days lie outside what the source keeps, which begins with 2026-01-10");
  CHECK(why(Day(2026, 1, 9), Day(2026, 3, 4), Progress()) ==
        "begins with 2026-01-10, the first day that the source keeps, ends with today, 2026-03-03; later days are "
        "still to come");
  CHECK(why(Day(2026, 3, 4), Day(2026, 3, 5), Progress()) == "the days are still to come: today is 2026-03-03");
}

TEST_CASE("a start that is still to come is said as long as nothing is loaded") {
  auto stream = daily();
  stream.start = Day(2026, 3, 4);
  CHECK(shortfall(stream, account(), Progress(), at("2026-03-03T10:00:00Z")) ==
        "nothing is loaded before window.start, 2026-03-04, which is still to come");
  CHECK(shortfall(stream, account(), done_to("2026-03-02"), at("2026-03-03T10:00:00Z")).empty());
  auto again = at("2026-03-03T10:00:00Z");
  again.full_refresh = true;
  CHECK(plan_slices(stream, account(), done_to("2026-03-02"), again).empty());
  CHECK_FALSE(shortfall(stream, account(), done_to("2026-03-02"), again).empty());
  CHECK(shortfall(stream, account(), Progress(), at("2026-03-04T10:00:00Z")).empty());
}

TEST_CASE("progress that lies ahead of the clock is not believed: what it hides is read again") {
  auto stream = daily(0s);
  stream.start = Day(2026, 3, 1);
  CHECK(show(plan_slices(stream, account(), done_to("2036-03-03"), at("2026-03-03T10:00:00Z"))) ==
        "2026-03-01>2026-03-02 2026-03-02>2026-03-03 2026-03-03>2026-03-03");
  // Set back over midnight.
  CHECK(show(plan_slices(stream, account(), done_to("2026-03-04"), at("2026-03-03T23:59:00Z"))) ==
        "2026-03-02>2026-03-03 2026-03-03>2026-03-03");
}

TEST_CASE("a missed fire after a later run reads its lookback and leaves progress where it is") {
  auto target = at("2026-03-06T10:00:00Z");
  target.up_to = *parse_instant("2026-03-03T10:00:00Z");
  CHECK(show(plan_slices(daily(), account(), done_to("2026-03-06"), target)) == "2026-03-01 2026-03-02 2026-03-03");
}

TEST_CASE("a missed fire whose instant the clock was set back behind reads no further than now") {
  auto target = at("2026-03-03T10:00:00Z");
  target.up_to = *parse_instant("2026-03-04T10:00:00Z");
  CHECK(show(plan_slices(daily(), account(), done_to("2026-03-03"), target)) == "2026-03-01 2026-03-02 2026-03-03");
}

TEST_CASE("a backfill of days to come ends with today") {
  const Backfill backfill("b", Day(2026, 3, 2), Day(2026, 3, 9));
  auto target = at("2026-03-03T10:00:00Z");
  target.backfill = &backfill;
  CHECK(show(plan_slices(daily(), account(), Progress(), target)) == "2026-03-02>2026-03-03 2026-03-03>2026-03-04");
}

TEST_CASE("progress of another kind of cursor is refused with advice") {
  CHECK_THROWS_WITH(plan_slices(daily(), account(), done_to("2026-03-03T00:00:00Z"), at("2026-03-03T10:00:00Z")),
                    Catch::Contains("give it a new name"));
}

TEST_CASE("objects are read from the last horizon to this one; a full refresh reads all") {
  StreamPlan stream;
  stream.spec.cursor = Cursor::value;
  auto target = at("2026-03-03T10:00:00Z");
  target.horizon = "2026-03-03T09:50:00Z";
  CHECK(show(plan_slices(stream, account(), done_to("2026-03-02T00:00:00Z"), target)) ==
        "(2026-03-02T00:00:00Z, 2026-03-03T09:50:00Z]>2026-03-03T09:50:00Z");
  target.full_refresh = true;
  CHECK_FALSE(plan_slices(stream, account(), done_to("2026-03-02T00:00:00Z"), target)[0].slice.value_range()->after);
}

TEST_CASE("objects: progress ahead of the horizon is a later run's, or a wrong clock's") {
  StreamPlan stream;
  stream.spec.cursor = Cursor::value;
  auto target = at("2026-03-03T10:00:00Z");
  target.horizon = "2026-03-03T09:50:00Z";
  // What changed while the clock was ahead would never be asked for: everything is read again.
  CHECK(show(plan_slices(stream, account(), done_to("2026-03-03T11:00:00Z"), target)) ==
        "(, 2026-03-03T09:50:00Z]>2026-03-03T09:50:00Z");
  target.up_to = *parse_instant("2026-03-03T10:00:00Z");
  CHECK(plan_slices(stream, account(), done_to("2026-03-03T11:00:00Z"), target).empty());
  // Values that are no instants cannot be compared.
  target.horizon = "900";
  CHECK(show(plan_slices(stream, account(), done_to("1000"), target)) == "(1000, 900]>900");
}

TEST_CASE("a sweep is due where nothing is known of one, and then every so often") {
  StreamPlan stream;
  stream.spec.cursor = Cursor::value;
  CHECK_FALSE(sweep_due(stream, Progress(), *parse_instant("2026-03-03T10:00:00Z")));
  stream.sweep = 7 * 24h;
  CHECK(sweep_due(stream, Progress(), *parse_instant("2026-03-03T10:00:00Z")));
  CHECK_FALSE(sweep_due(stream, done_to("2026-03-02T00:00:00Z"), *parse_instant("2026-03-03T10:00:00Z")));
  CHECK(sweep_due(stream, done_to("2026-02-24T00:00:00Z"), *parse_instant("2026-03-03T10:00:00Z")));
}

TEST_CASE("whatever the progress and the zone, windows are contiguous, end with today, and progress only rises") {
  rc::check([] {
    const auto zones = {"UTC", "Asia/Tokyo", "America/Los_Angeles", "Pacific/Apia", "America/Sao_Paulo"};
    const Partition partition("1", *load_zone(*rc::gen::elementOf(std::vector<const char*>(zones))));
    auto stream = daily(24h * *rc::gen::inRange(0, 40));
    stream.slice_days = *rc::gen::inRange(1, 10);
    const Instant now = *parse_instant("2018-01-01T00:00:00Z") + std::chrono::minutes(*rc::gen::inRange(0, 3'000'000));
    const Day today = day_of(now, partition.zone);
    Progress progress;
    if (*rc::gen::arbitrary<bool>()) progress.done_to = format_day(today - *rc::gen::inRange(0, 100));
    const auto slices = plan_slices(stream, partition, progress, Target(now));
    RC_ASSERT(!slices.empty());
    RC_ASSERT(slices.back().slice.day_window()->to == today + 1);
    Day reached = progress.done_to ? *parse_day(*progress.done_to) : Day(1970, 1, 1);
    for (std::size_t i = 0; i < slices.size(); ++i) {
      if (i > 0) RC_ASSERT(slices[i].slice.day_window()->from == slices[i - 1].slice.day_window()->to);
      if (!slices[i].done_to) continue;
      const Day next = *parse_day(*slices[i].done_to);
      RC_ASSERT(next >= reached);
      RC_ASSERT(next <= today);
      RC_ASSERT(next <= slices[i].slice.day_window()->to);
      reached = next;
    }
    RC_ASSERT(reached == today);
  });
}
