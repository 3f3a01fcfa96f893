#include <catch2/catch.hpp>

#include "daemon/progress_bar.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

Terminal screen() {
  Terminal t;
  t.interactive = true;
  t.width = 100;
  return t;
}

RunStarted started() {
  return {"r", "facebook", "manual", {}, {}, {}};
}
RunPlanned planned(std::int64_t n) {
  return {"r", "facebook", n};
}
SliceProgress progress(const char* slice, std::int64_t rows) {
  return {"r", "facebook", "insights", slice, rows};
}
SliceEnded slice_ended(const char* slice, std::int64_t rows) {
  SliceEnded e;
  e.run = "r";
  e.stream = "insights";
  e.slice = slice;
  e.counts.read = rows;
  return e;
}
RunEnded run_ended() {
  RunEnded e;
  e.run = "r";
  e.pipeline = "facebook";
  e.took = 10s;
  e.slices_published = 4;
  e.counts.read = e.counts.inserted = 4000;
  return e;
}

}  // namespace

TEST_CASE("a terminal sees slices, rows, pace and what is left, in one line that is redrawn") {
  ProgressBar bar(screen(), 0s);
  bar.on(started(), 0s);
  bar.on(planned(4), 0s);
  bar.on(slice_ended("a", 1000), 1s);
  const auto line = bar.on(progress("b", 500), 2s);
  CHECK_THAT(line, Catch::StartsWith("\r\x1b[K"));
  CHECK_THAT(line, Contains("facebook ██████░") && Contains("1/4 slices, 1,500 rows, 750/s, 2.0s, about 6.0s left"));
  CHECK_THAT(line, !Contains("\n"));
}

TEST_CASE("rows of a slice count once, when it ends as well") {
  ProgressBar bar(screen(), 0s);
  bar.on(started(), 0s);
  bar.on(progress("a", 900), 1s);
  CHECK_THAT(bar.on(slice_ended("a", 1000), 2s), Contains(" 1,000 rows"));
}

TEST_CASE("it is redrawn ten times a second at most, and taken away for the last word") {
  ProgressBar bar(screen(), 0s);
  bar.on(started(), 0s);
  CHECK(!bar.on(progress("a", 1), 200ms).empty());
  CHECK(bar.on(progress("a", 2), 250ms).empty());
  CHECK(bar.on(run_ended(), 260ms) == "\r\x1b[Kfacebook succeeded in 10.0s: 4 slices, read 4,000: 4,000 inserted\n");
}

TEST_CASE("where nobody watches there are plain lines, rarely") {
  ProgressBar bar(Terminal{}, 0s);
  bar.on(started(), 0s);
  bar.on(planned(4), 0s);
  for (int i = 1; i < 50; ++i) CHECK(bar.on(progress("a", i), i * 100ms).empty());
  CHECK(bar.on(slice_ended("a", 1000), 5s) == "facebook: 1/4 slices, 1,000 rows, 5.0s\n");
  CHECK(bar.on(run_ended(), 6s) == "facebook succeeded in 10.0s: 4 slices, read 4,000: 4,000 inserted\n");
}
