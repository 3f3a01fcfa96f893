#include "scheduler/schedule.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace std::chrono_literals;

namespace {

Cron cron(std::string_view text) {
  std::string fault;
  const auto parsed = Cron::parse(text, fault);
  INFO(fault);
  REQUIRE(parsed);
  return *parsed;
}

std::string fault_of(std::string_view text) {
  std::string fault;
  CHECK_FALSE(Cron::parse(text, fault));
  return fault;
}

Zone zone(std::string_view name) {
  const auto found = load_zone(name);
  REQUIRE(found);
  return *found;
}

// The fires in (from, to], in UTC.
std::vector<std::string> fires(std::string_view text, std::string_view where, std::string_view from,
                               std::string_view to, Dst dst = Dst::once) {
  const auto expression = cron(text);
  const auto until = *parse_instant(to);
  std::vector<std::string> found;
  for (auto t = expression.next(*parse_instant(from), zone(where), dst); t && *t <= until;
       t = expression.next(*t, zone(where), dst))
    found.push_back(format_instant(*t));
  return found;
}

std::string first(std::string_view text, std::string_view after) {
  const auto t = cron(text).next(*parse_instant(after), utc(), Dst::once);
  return t ? format_instant(*t) : "never";
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a cron expression fires at the times it names") {
  const auto now = "2026-03-02T12:34:56Z";  // a Monday
  CHECK(first("7 * * * *", now) == "2026-03-02T13:07:00Z");
  CHECK(first("*/15 * * * *", now) == "2026-03-02T12:45:00Z");
  CHECK(first("1-30/2 13 * * *", now) == "2026-03-02T13:01:00Z");
  CHECK(first("5/10 * * * *", now) == "2026-03-02T12:35:00Z");
  CHECK(first("5/10 * * * *", "2026-03-02T12:55:00Z") == "2026-03-02T13:05:00Z");
  CHECK(first("0,20,40 6 * * *", now) == "2026-03-03T06:00:00Z");
  CHECK(first("0 9 * * mon-fri", "2026-03-06T09:00:00Z") == "2026-03-09T09:00:00Z");
  CHECK(first("0 0 * * SUN", now) == "2026-03-08T00:00:00Z");
  CHECK(first("0 0 * * 7", now) == "2026-03-08T00:00:00Z");
  CHECK(first("0 0 * * 0", now) == "2026-03-08T00:00:00Z");
  CHECK(first("0 0 * * fri-sun", "2026-03-07T01:00:00Z") == "2026-03-08T00:00:00Z");
  CHECK(first("0 0 1 Jan,jul *", now) == "2026-07-01T00:00:00Z");
  CHECK(first("59 23 31 12 *", "2026-12-31T23:59:00Z") == "2027-12-31T23:59:00Z");
  CHECK(first("0 0 29 2 *", now) == "2028-02-29T00:00:00Z");
  CHECK(first("0 0 29 2 *", "2096-03-01T00:00:00Z") == "2104-02-29T00:00:00Z");
}

TEST_CASE("a sixth field, the first, is seconds") {
  CHECK(first("30 * * * * *", "2026-03-02T12:34:29.999999Z") == "2026-03-02T12:34:30Z");
  CHECK(first("30 * * * * *", "2026-03-02T12:34:30Z") == "2026-03-02T12:35:30Z");
  CHECK(first("*/20 59 23 * * *", "2026-03-02T23:59:40Z") == "2026-03-03T23:59:00Z");
}

TEST_CASE("nicknames stand for their five fields") {
  const auto now = "2026-03-02T12:34:56Z";
  CHECK(first("@hourly", now) == "2026-03-02T13:00:00Z");
  CHECK(first("@daily", now) == "2026-03-03T00:00:00Z");
  CHECK(first("@weekly", now) == "2026-03-08T00:00:00Z");
  CHECK(first("@monthly", now) == "2026-04-01T00:00:00Z");
}

TEST_CASE("a fire is strictly after the instant that is asked about") {
  CHECK(first("0 12 * * *", "2026-03-02T11:59:59.999999Z") == "2026-03-02T12:00:00Z");
  CHECK(first("0 12 * * *", "2026-03-02T12:00:00Z") == "2026-03-03T12:00:00Z");
  CHECK(first("0 12 * * *", "2026-03-02T12:00:00.000001Z") == "2026-03-03T12:00:00Z");
}

TEST_CASE("day of month and weekday: either matches where both are restricted, both where one begins with a star") {
  CHECK(fires("0 0 13 * fri", "UTC", "2026-03-01T00:00:00Z", "2026-03-21T00:00:00Z") ==
        Texts{"2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z"});
  CHECK(fires("0 0 15 * fri", "UTC", "2026-03-12T00:00:00Z", "2026-03-21T00:00:00Z") ==
        Texts{"2026-03-13T00:00:00Z", "2026-03-15T00:00:00Z", "2026-03-20T00:00:00Z"});
  CHECK(fires("0 0 */10 * mon", "UTC", "2026-03-01T12:00:00Z", "2026-07-01T00:00:00Z") ==
        Texts{"2026-05-11T00:00:00Z", "2026-06-01T00:00:00Z"});
  CHECK(cron("0 0 13 * fri").either_day());
  CHECK_FALSE(cron("0 0 13 * *").either_day());
  CHECK_FALSE(cron("0 0 * * fri").either_day());
}

TEST_CASE("what is wrong with a cron expression is said with the field, what was found and what is expected") {
  const auto says = [](const char* part) { return Catch::Matchers::Contains(part); };
  CHECK_THAT(fault_of("61 * * * *"), says("the minute field is \"61\": 61 is out of range; expected 0 to 59"));
  CHECK_THAT(fault_of("0 24 * * *"), says("the hour field is \"24\"") && says("0 to 23"));
  CHECK_THAT(fault_of("0 0 0 * *"), says("the day of month field is \"0\"") && says("1 to 31"));
  CHECK_THAT(fault_of("0 0 1 13 *"), says("the month field is \"13\"") && says("jan to dec"));
  CHECK_THAT(fault_of("0 0 * * 8"), says("the weekday field is \"8\"") && says("0 and 7 are Sunday"));
  CHECK_THAT(fault_of("0 0 * sept *"), says("\"sept\" is not a month") && says("did you mean \"sep\"?"));
  CHECK_THAT(fault_of("0 0 * * Monday"), says("did you mean \"mon\"?"));
  CHECK_THAT(fault_of("0 0 * * tou-fri"), says("\"tou\" is not a weekday") && says("did you mean"));
  CHECK_THAT(fault_of("0 22-2 * * *"), says("the range 22-2 goes backwards; write 22-23,0-2"));
  CHECK_THAT(fault_of("*/90 * * * *"), says("a step of 90 is longer than the field") && says("every:"));
  CHECK_THAT(fault_of("*/0 * * * *"), says("\"0\" is not a step"));
  CHECK_THAT(fault_of("*/x * * * *"), says("\"x\" is not a step"));
  CHECK_THAT(fault_of("1,,2 * * * *"), says("a value is missing in the list"));
  CHECK_THAT(fault_of("5- * * * *"), says("\"\" is not a minute"));
  CHECK_THAT(fault_of("-5 * * * *"), says("the minute field is \"-5\""));
  CHECK_THAT(fault_of("1.5 * * * *"), says("\"1.5\" is not a minute"));
  CHECK_THAT(fault_of("0 0 ? * *"), says("write * instead of ?"));
  CHECK_THAT(fault_of("0 0 L * *"), says("L, W and # are not known"));
  CHECK_THAT(fault_of("0 0 * *"), says("it has 4 fields; expected 5") && says("minute hour day month weekday"));
  CHECK_THAT(fault_of("0 0 0 1 1 * 2026"), says("it has 7 fields"));
  CHECK_THAT(fault_of("  "), says("it is empty"));
  CHECK_THAT(fault_of("@yearly"), says("write 0 0 1 1 *"));
  CHECK_THAT(fault_of("@every 5m"), says("`every: 15m`"));
  CHECK_THAT(fault_of("@reboot"), says("missed: latest"));
  CHECK_THAT(fault_of("@dayly"), says("expected @hourly, @daily, @weekly, @monthly"));
}

TEST_CASE("an expression that can never match is refused") {
  for (const auto* never : {"0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 feb *"})
    CHECK_THAT(fault_of(never), Catch::Matchers::Contains("never match"));
  CHECK(first("0 0 31 2 mon", "2026-03-02T00:00:00Z") == "2027-02-01T00:00:00Z");
  CHECK(first("0 0 */31 2 1", "2010-02-02T00:00:00Z") == "2016-02-01T00:00:00Z");
  CHECK(first("0 0 31 4,5 *", "2026-03-02T00:00:00Z") == "2026-05-31T00:00:00Z");
}

TEST_CASE("once: a time inside a gap fires at the first instant after it, a time inside a fold fires the first time") {
  CHECK(fires("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z") ==
        Texts{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"});
  CHECK(fires("30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z") ==
        Texts{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"});
  CHECK(fires("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", "2026-03-09T12:00:00Z") ==
        Texts{"2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"});
  CHECK(fires("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", "2026-11-02T12:00:00Z") ==
        Texts{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"});
}

TEST_CASE("several times inside one gap are one fire, as is a time inside it with the one at its end") {
  CHECK(fires("5,25,45 1 * * *", "Europe/London", "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z") ==
        Texts{"2026-03-29T01:00:00Z"});
  CHECK(fires("0 1,2 * * *", "Europe/London", "2026-03-29T00:30:00Z", "2026-03-29T12:00:00Z") ==
        Texts{"2026-03-29T01:00:00Z"});
}

TEST_CASE("skip leaves out a time inside a gap and fires once inside a fold") {
  CHECK(fires("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z", Dst::skip) ==
        Texts{"2026-03-30T00:30:00Z"});
  CHECK(fires("30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z", Dst::skip) ==
        Texts{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"});
}

TEST_CASE("both fires twice inside a fold, and after a gap") {
  CHECK(fires("30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z", Dst::both) ==
        Texts{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"});
  CHECK(fires("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z", Dst::both) ==
        Texts{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"});
}

TEST_CASE("an hour field that is a star or a step follows elapsed time: clocks that change do not matter") {
  for (const auto dst : {Dst::once, Dst::skip, Dst::both}) {
    CHECK(fires("7 * * * *", "Europe/London", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z", dst) ==
          Texts{"2026-03-29T00:07:00Z", "2026-03-29T01:07:00Z", "2026-03-29T02:07:00Z"});
    CHECK(fires("7 * * * *", "Europe/London", "2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z", dst) ==
          Texts{"2026-10-25T00:07:00Z", "2026-10-25T01:07:00Z", "2026-10-25T02:07:00Z"});
    CHECK(fires("0 */6 * * *", "Europe/London", "2026-10-24T22:00:00Z", "2026-10-25T13:00:00Z", dst) ==
          Texts{"2026-10-24T23:00:00Z", "2026-10-25T06:00:00Z", "2026-10-25T12:00:00Z"});
  }
}

TEST_CASE("clocks that change by half an hour") {
  // Lord Howe, 2026-10-04 02:00 → 02:30 and 2026-04-05 02:00 → 01:30.
  CHECK(fires("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-04T12:00:00Z") ==
        Texts{"2026-10-03T15:30:00Z"});
  CHECK(fires("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-05T12:00:00Z") ==
        Texts{"2026-04-04T14:45:00Z"});
  CHECK(fires("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-05T12:00:00Z", Dst::both) ==
        Texts{"2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"});
}

TEST_CASE("a midnight that does not exist") {
  CHECK(fires("@daily", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z") ==
        Texts{"2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"});
  CHECK(fires("@daily", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z", Dst::skip) ==
        Texts{"2018-11-05T02:00:00Z"});
}

TEST_CASE("a day that does not exist: Apia had no 30 December 2011") {
  CHECK(fires("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2012-01-01T00:00:00Z") ==
        Texts{"2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z", "2011-12-31T19:00:00Z"});
  CHECK(fires("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2012-01-01T00:00:00Z", Dst::skip) ==
        Texts{"2011-12-29T19:00:00Z", "2011-12-30T19:00:00Z", "2011-12-31T19:00:00Z"});
}

TEST_CASE("a zone with an odd offset") {
  CHECK(fires("0 6 * * *", "Asia/Kathmandu", "2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z") ==
        Texts{"2026-03-02T00:15:00Z"});
}

TEST_CASE("inside the second pass of a fold a wall-clock job waits for the next day") {
  CHECK(fires("*/5 1 * * *", "Europe/London", "2026-10-25T01:02:00Z", "2026-10-26T01:00:00Z") ==
        Texts{"2026-10-26T01:00:00Z"});
}

TEST_CASE("every is aligned to the epoch") {
  Schedule schedule;
  schedule.when = Duration(15min);
  CHECK(schedule.next(*parse_instant("2026-03-02T12:34:56Z")) == parse_instant("2026-03-02T12:45:00Z"));
  CHECK(schedule.next(*parse_instant("2026-03-02T12:45:00Z")) == parse_instant("2026-03-02T13:00:00Z"));
  CHECK(schedule.next(*parse_instant("1969-12-31T23:50:00Z")) == parse_instant("1970-01-01T00:00:00Z"));
}

TEST_CASE("a pipeline by hand or after others has no next fire") {
  Schedule schedule;
  CHECK_FALSE(schedule.next(Instant{}));
  schedule.when = std::vector<std::string>{"google"};
  CHECK_FALSE(schedule.next(Instant{}));
}

TEST_CASE("jitter is a stable offset from the name, spread over the whole of it") {
  Schedule schedule;
  CHECK(schedule.offset("facebook") == 0s);
  schedule.jitter = 2min;
  CHECK(schedule.offset("facebook") == schedule.offset("facebook"));
  // The same on every machine and in every version: a dashboard may rely on it.
  CHECK(schedule.offset("facebook") == 15'151ms);
  std::vector<int> used(120);
  int seconds_whole = 0;
  for (int i = 0; i < 12'000; ++i) {
    const auto offset = schedule.offset("pipeline_" + std::to_string(i));
    REQUIRE((offset >= 0s && offset < 2min));
    REQUIRE(offset % 1ms == 0s);
    seconds_whole += offset % 1s == 0s;
    ++used[static_cast<std::size_t>(offset / 1s)];
  }
  const auto [least, most] = std::minmax_element(used.begin(), used.end());
  CHECK(*least > 50);
  CHECK(*most < 160);
  CHECK(seconds_whole < 40);  // thousands that met at each second would wait for one another
}
