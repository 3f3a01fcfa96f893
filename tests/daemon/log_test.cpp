#include "daemon/log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "daemon/phrases.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

const Instant noon = *parse_instant("2026-03-02T12:00:00Z");

// What a log writes into a pipe, read once the log is gone.
class Logged {
 public:
  explicit Logged(LogFormat format = LogFormat::text, Level level = Level::info) {
    REQUIRE(::pipe(ends_) == 0);
    log.emplace(LogOptions{level, format, ends_[1]});
  }
  ~Logged() {
    log.reset();
    ::close(ends_[0]);
    if (ends_[1] >= 0) ::close(ends_[1]);
  }
  std::string text() {
    log.reset();
    ::close(std::exchange(ends_[1], -1));
    std::string all;
    char piece[4096];
    for (ssize_t n; (n = ::read(ends_[0], piece, sizeof piece)) > 0;) all.append(piece, static_cast<std::size_t>(n));
    return all;
  }
  std::size_t lines() {
    const auto all = text();
    return static_cast<std::size_t>(std::count(all.begin(), all.end(), '\n'));
  }
  std::optional<Log> log;

 private:
  int ends_[2] = {-1, -1};
};

RunEnded ended(Outcome outcome) {
  RunEnded e;
  e.run = "20260302T120000Z-7f3a";
  e.pipeline = "facebook";
  e.trigger = "schedule";
  e.outcome = outcome;
  e.took = 12'300ms;
  e.slices_published = 28;
  e.counts.read = e.counts.inserted = 5000;
  return e;
}

Throttled throttled() {
  return {"meta", "act_1", "(#80000) too many calls", 90s};
}

}  // namespace

TEST_CASE("a run is one line, its requests and slices are none") {
  Logged logged;
  logged.log->on(RunStarted{"r", "facebook", "schedule", noon, noon, {}}, noon);
  for (int i = 0; i < 100; ++i) {
    logged.log->on(RequestDone{"meta", "200", 1s, 100}, noon);
    logged.log->on(SliceEnded{"r", "facebook", "insights", "act_1/2026-03-01", SliceOutcome::published, {}, {}, 1s},
                   noon);
  }
  logged.log->on(SinkState{"warehouse", true, {}}, noon);
  logged.log->on(ended(Outcome::succeeded), noon);
  CHECK(logged.text() ==
        "2026-03-02T12:00:00Z info    succeeded in 12.3s: 28 slices, read 5,000: 5,000 inserted pipeline=facebook "
        "run=20260302T120000Z-7f3a trigger=schedule\n");
}

TEST_CASE("the same incident within a minute is folded into one more line") {
  Logged logged;
  for (int i = 0; i < 20; ++i) logged.log->on(throttled(), noon + i * 1s);
  logged.log->tick(noon + 59s);
  logged.log->tick(noon + 61s);
  const auto text = logged.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK_THAT(text, Contains("(#80000) too many calls; pausing for 1m30s source=meta bucket=act_1"));
  CHECK_THAT(text, Contains("(19 times since 2026-03-02T12:00:00Z)"));
}

TEST_CASE("what was folded is not lost when the log ends") {
  Logged logged;
  for (int i = 0; i < 4; ++i) logged.log->on(throttled(), noon + i * 1s);
  logged.log->on(RequestRetried{"meta", "timeout", "GET x: no answer", 1s}, noon + 2s);
  const auto text = logged.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 3);
  CHECK_THAT(text, Contains("\n2026-03-02T12:00:03Z warning (#80000) too many calls; pausing for 1m30s (3 times since "
                            "2026-03-02T12:00:00Z) source=meta"));
}

TEST_CASE("who has the last word lets the log say first what it folded") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  Log log({Level::info, LogFormat::text, ends[1]});
  for (int i = 0; i < 3; ++i) log.on(throttled(), noon + i * 1s);
  log.flush();
  REQUIRE(::write(ends[1], "the end\n", 8) == 8);
  char piece[4096];
  const std::string text(piece, static_cast<std::size_t>(::read(ends[0], piece, sizeof piece)));
  CHECK_THAT(text, Contains("(2 times since 2026-03-02T12:00:00Z)") && Catch::EndsWith("the end\n"));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("slices of one account that fail together are one incident, whatever the API's own words") {
  Logged logged;
  for (int i = 0; i < 8; ++i) {
    SliceEnded failed{"r",
                      "facebook",
                      "insights",
                      fmt::format("act_1/2026-03-0{}", i),
                      SliceOutcome::failed,
                      fmt::format("no permission (fbtrace_id A{})", i),
                      {},
                      1s,
                      "act_1"};
    logged.log->on(failed, noon + i * 1s);
  }
  const auto text = logged.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK_THAT(text, Contains("slice act_1/2026-03-00 failed: no permission") && Contains("(7 times since"));
}

TEST_CASE("a sink that fails the slices of all pipelines alike is one incident, however often it comes and goes") {
  Logged logged;
  for (int i = 0; i < 8; ++i) {
    const auto account = fmt::format("act_{}", i);
    logged.log->on(SinkState{"warehouse", false, "warehouse.db: disk is full"}, noon + i * 1s);
    const SliceEnded failed{"r",
                            i % 2 ? "facebook" : "google",
                            "insights",
                            account + "/2026-03-01",
                            SliceOutcome::failed,
                            "warehouse.db: disk is full",
                            {},
                            1s,
                            account};
    logged.log->on(failed, noon + i * 1s);
    logged.log->on(SinkState{"warehouse", true, {}}, noon + i * 1s);
  }
  const auto text = logged.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 4);
  CHECK_THAT(text, Contains("error   warehouse.db: disk is full") && Contains("the sink answers again") &&
                       Contains("(15 times since") && Contains("(7 times since"));
}

TEST_CASE("a sink is mentioned when it goes down and when it comes back") {
  Logged logged;
  for (const bool up : {true, false, false, true, true})
    logged.log->on(SinkState{"warehouse", up, "connection refused"}, noon);
  const auto text = logged.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK_THAT(text, Contains("error   connection refused") && Contains("the sink answers again"));
}

TEST_CASE("a version warning in every answer is one line a day") {
  Logged logged;
  for (int i = 0; i < 100; ++i) logged.log->on(VersionWarning{"meta", "v19.0 ends on 2026-05-21"}, noon + i * 60s);
  CHECK(logged.lines() == 2);
}

TEST_CASE("nothing from outside can forge a line or steer a terminal") {
  CHECK(printable("a\nb\r\tc", 100) == "a\\nb\\r\\tc");
  CHECK(printable("\x1b[31mred\x7f", 100) == "\\u001b[31mred\\u007f");
  CHECK(printable("x\xe2\x80\xa8y\xe2\x80\xae"
                  "z",
                  100) == "x\\u2028y\\u202ez");
  CHECK(printable("bad \xff\xc3", 100) == "bad \\xff\\xc3");
  CHECK(printable("Grüße ✓", 100) == "Grüße ✓");
  CHECK(printable(std::string(500, 'x'), 10) == std::string(10, 'x') + "…");
  Logged logged;
  logged.log->on(Notice{Level::error, "face\nbook", {}, "first\n2026-03-02T12:00:00Z error forged"}, noon);
  CHECK(logged.lines() == 1);
}

TEST_CASE("JSON lines are JSON whatever they hold, and never longer than a pipe takes whole") {
  Logged logged(LogFormat::json);
  logged.log->on(Notice{Level::warning, "facebook", "insights", "say \"hi\" \x1b \xff"}, noon);
  logged.log->on(Notice{Level::warning, "facebook", "insights", std::string(100'000, '"')}, noon);
  std::istringstream lines(logged.text());
  std::string line;
  REQUIRE(std::getline(lines, line));
  const auto first = nlohmann::json::parse(line);
  CHECK(first["level"] == "warning");
  CHECK(first["pipeline"] == "facebook");
  CHECK(first["message"] == "say \"hi\" \\u001b \\xff");
  REQUIRE(std::getline(lines, line));
  CHECK(line.size() < 4096);
  CHECK(nlohmann::json::parse(line)["stream"] == "insights");
}

TEST_CASE("secrets do not get through, known ones and those in URLs") {
  const std::string canary = "EAAcanary1234567890";
  Logged logged(LogFormat::text, Level::debug);
  logged.log->hide(Secret(canary));
  logged.log->on(Notice{Level::error, "p", "s", "the server said: bad token " + canary + " " + canary}, noon);
  logged.log->on(RequestRetried{"meta", "timeout", "GET https://x/y?access_token=abc123&limit=1", 1s}, noon);
  logged.log->write(Level::error, noon, "cannot reach postgresql://loader:hunter2@db.example:5432/x?sslmode=require");
  logged.log->write(Level::error, noon, "cannot reach https://a&password=mellon&b:c@host/");
  const auto text = logged.text();
  CHECK_THAT(text, !Contains(canary) && !Contains("abc123") && !Contains("hunter2") && !Contains("mellon"));
  CHECK_THAT(text, Contains("bad token *** ***") && Contains("access_token=***&limit=1"));
  CHECK_THAT(text, Contains("postgresql://loader:***@db.example:5432/x?sslmode=require"));
}

TEST_CASE("levels below the chosen one are not written") {
  Logged logged(LogFormat::text, Level::error);
  logged.log->on(ended(Outcome::partial), noon);
  logged.log->write(Level::warning, noon, "no");
  CHECK(logged.lines() == 0);
}

TEST_CASE("a reader that stopped costs lines, never time") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto start = std::chrono::steady_clock::now();
  {
    Log log({Level::info, LogFormat::text, ends[1]});
    for (int i = 0; i < 20'000; ++i) log.write(Level::info, noon, fmt::format("line {}", i));
    CHECK(std::chrono::steady_clock::now() - start < 60s);
    std::this_thread::sleep_for(500ms);
    CHECK(log.dropped() > 10'000);
  }
  CHECK(std::chrono::steady_clock::now() - start < 60s);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a full disk costs lines, never the daemon") {
  const int full = ::open("/dev/full", O_WRONLY);
  REQUIRE(full >= 0);
  Log log({Level::info, LogFormat::text, full});
  log.write(Level::error, noon, "lost");
  for (int i = 0; i < 100 && log.dropped() == 0; ++i) std::this_thread::sleep_for(10ms);
  CHECK(log.dropped() == 1);
  ::close(full);
}

TEST_CASE("durations and numbers are for people") {
  CHECK(short_duration(350ms) == "350ms");
  CHECK(short_duration(245s) == "4m05s");
  CHECK(short_duration(49h) == "2d01h");
  CHECK(grouped(0) == "0");
  CHECK(grouped(1234567) == "1,234,567");
  CHECK(grouped(-123) == "-123");
  CHECK(grouped(-1234) == "-1,234");
}
