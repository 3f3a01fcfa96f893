#include "daemon/run_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/folder.hpp"
#include "tests/support/world.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

const Instant logged_at = *parse_instant("2026-03-02T12:00:00Z");

struct LogFixture {
  Folder folder;
  World world;
  struct Nowhere {
    int fd = ::open("/dev/null", O_WRONLY);
    ~Nowhere() { ::close(fd); }
  } nowhere;
  Log log{{Level::error, LogFormat::text, nowhere.fd}};
  Metrics metrics{{{{"facebook", {}, {"insights"}}, {"google", {}, {"clicks"}}}, {"meta", "ads"}, {"warehouse"}}};
  EventHub hub{world.executor(), world.clock(), metrics, log};
  std::string path = folder / "state.db";
  std::unique_ptr<SqliteStateStore> store = std::make_unique<SqliteStateStore>(path, world.executor(), world.clock());
  RunLog run_log{hub, world.clock(), log, *store, [](const std::string& pipeline) {
                   return std::pair<std::string, std::string>(pipeline == "facebook" ? "meta" : "ads", "warehouse");
                 }};

  void start(const std::string& id, const std::string& pipeline = "facebook") {
    hub.emit(RunStarted{id, pipeline, "schedule", logged_at, logged_at, {}});
  }
  void end(const std::string& id) {
    RunEnded ended;
    ended.run = id;
    hub.emit(ended);
  }
  void sleep(Duration time) { world.run(world.clock().sleep_for(time)); }
  std::vector<std::string> said(const std::string& id) {
    world.run(run_log.save());
    std::vector<std::string> lines;
    for (const auto& line : world.run(store->log(id)))
      lines.push_back(fmt::format("{} {}", to_string(line.level), line.message));
    return lines;
  }
  void record(const std::string& id, const std::string& pipeline = "facebook") {
    RunRecord run;
    run.id = id;
    run.pipeline = pipeline;
    run.trigger = "schedule";
    run.planned = run.started = logged_at;
    world.run(store->run_started(run));
  }
};

using Lines = std::vector<std::string>;

SliceEnded failed(const std::string& run, const std::string& why) {
  return {run, "facebook", "insights", "act_1/2026-03-01", SliceOutcome::failed, why, {}, 1s, "act_1"};
}

}  // namespace

TEST_CASE_METHOD(LogFixture,
                 "a run's log has what happened to it, to its source and to its sink, and nothing of others") {
  start("a");
  start("b", "google");
  hub.emit(failed("a", "no rows came"));
  hub.emit(Throttled{"meta", "act_1", "(#80000) too many calls", 90s});
  hub.emit(Throttled{"ads", "customer", "quota", 90s});
  hub.emit(Notice{Level::info, {}, {}, "meta: calls go out as usual again", "meta"});
  hub.emit(Notice{Level::info, {}, {}, "ads: calls go out as usual again", "ads"});
  hub.emit(Notice{Level::warning, {}, {}, "sink warehouse: a column could not be widened", {}, "warehouse"});
  hub.emit(SinkState{"warehouse", true, {}});
  hub.emit(SinkState{"warehouse", false, "no connection"});
  hub.emit(SinkState{"warehouse", true, {}});
  hub.emit(Notice{Level::info, "facebook", "insights", "act_2 is left out"});
  hub.emit(Notice{Level::warning, {}, {}, "of nobody"});
  hub.emit(RequestDone{"meta", "200", 1s, 100});
  CHECK(said("a") == Lines{"warning slice act_1/2026-03-01 failed: no rows came stream=insights",
                           "warning (#80000) too many calls; pausing for 1m30s source=meta bucket=act_1",
                           "info meta: calls go out as usual again",
                           "warning sink warehouse: a column could not be widened",
                           "error no connection sink=warehouse", "info the sink answers again sink=warehouse",
                           "info act_2 is left out stream=insights"});
  CHECK(said("b") == Lines{"warning quota; pausing for 1m30s source=ads bucket=customer",
                           "info ads: calls go out as usual again",
                           "warning sink warehouse: a column could not be widened",
                           "error no connection sink=warehouse", "info the sink answers again sink=warehouse"});
  end("a");
  hub.emit(Throttled{"meta", "act_1", "later", 90s});
  CHECK(said("a").size() == 7);
}

TEST_CASE_METHOD(LogFixture, "the same incident within a minute is one line that is counted") {
  start("a");
  for (int i = 0; i < 3; ++i) {
    hub.emit(Throttled{"meta", "act_1", "slow down", 1s});
    sleep(10s);
  }
  CHECK(said("a") == Lines{"warning slow down; pausing for 1.0s source=meta bucket=act_1 (3 times until "
                           "2026-03-02T12:00:20Z)"});
  sleep(1min);
  hub.emit(Throttled{"meta", "act_1", "slow down", 1s});
  CHECK(said("a").size() == 2);
}

TEST_CASE_METHOD(LogFixture, "of very many lines the last are kept, and how many were dropped is known") {
  start("a");
  record("a");
  for (std::size_t i = 1; i <= RunLog::most_lines + 20; ++i) {
    hub.emit(Notice{Level::warning, "facebook", {}, fmt::format("incident {}", i)});
    if (i == 300) world.run(run_log.save());
  }
  const auto lines = said("a");
  CHECK(lines.size() == RunLog::most_lines);
  CHECK(lines.front() == "warning incident 21");
  CHECK(logs_json(*world.run(store->run("a")), world.run(store->log("a")))["dropped"] == 20);

  start("long");
  for (int i = 0; i < 100; ++i)
    hub.emit(Notice{Level::warning, "facebook", {}, std::string(1990, 'x') + std::to_string(i)});
  std::size_t bytes = 0;
  for (const auto& line : said("long")) bytes += line.size();
  CHECK(bytes > RunLog::most_bytes / 2);
  CHECK(bytes < RunLog::most_bytes * 11 / 10);
}

TEST_CASE_METHOD(LogFixture, "no secret and no control character gets into a run's log") {
  log.hide(Secret("canary-secret"));
  start("a");
  hub.emit(failed("a", "refused canary-secret at https://u:pw@host/?access_token=EAAsecret&x=1\n\x1b[31m"));
  const auto lines = said("a");
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0],
             !Contains("canary") && !Contains("pw@") && !Contains("EAAsecret") && !Contains("\x1b") && Contains("***"));
}

TEST_CASE_METHOD(LogFixture, "a run without an incident writes nothing") {
  world.run(store->probe());
  const auto before = store->commits();
  start("a");
  hub.emit(SliceEnded{"a", "facebook", "insights", "s", SliceOutcome::published, {}, {}, 1s});
  end("a");
  CHECK(said("a").empty());
  CHECK(store->commits() == before);
}

TEST_CASE_METHOD(LogFixture, "what the state cannot take is kept until it can") {
  start("a");
  record("a");
  {
    sqlite::Database(path).exec("ALTER TABLE run_logs RENAME TO away");
    hub.emit(failed("a", "one"));
    world.run(run_log.save());
    end("a");
    sqlite::Database(path).exec("ALTER TABLE away RENAME TO run_logs");
  }
  CHECK(said("a").size() == 1);
}

TEST_CASE_METHOD(LogFixture, "a run is named by its id, the beginning of it alone, or its pipeline") {
  record("20260302T120000Z-7f3a");
  record("20260302T120000Z-7f3b", "google");
  const auto found = [&](const std::string& name) { return world.run(run_named(*store, name)).id; };
  const auto refusal = [&](const std::string& name) {
    try {
      found(name);
    } catch (const Refusal& refused) {
      return fmt::format("{} {}", refused.status(), refused.what());
    }
    return std::string();
  };
  CHECK(found("20260302T120000Z-7f3a") == "20260302T120000Z-7f3a");
  CHECK(found("google") == "20260302T120000Z-7f3b");
  CHECK_THAT(refusal("20260302"), Contains("422 20260302 is the beginning of several runs: 20260302T120000Z-7f3b, "));
  CHECK_THAT(refusal("nope"), Contains("404 there is no run nope"));
  CHECK_THAT(refusal("2026%"), Contains("404"));
  record("20260303T000000Z-0001");
  CHECK(found("20260303") == "20260303T000000Z-0001");
}

TEST_CASE_METHOD(LogFixture, "a log is forgotten with its run") {
  record("a");
  start("a");
  hub.emit(failed("a", "one"));
  CHECK(said("a").size() == 1);
  auto run = *world.run(store->run("a"));
  run.ended = logged_at + 1s;
  run.outcome = Outcome::failed;
  world.run(store->run_ended(run));
  CHECK(world.run(store->prune(logged_at + 1h)) == 1);
  CHECK(world.run(store->log("a")).empty());
}
