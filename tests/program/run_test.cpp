#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.hpp"
#include "core/time.hpp"
#include "tests/program/setup.hpp"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;

TEST_CASE("sluice run loads what the API has, and a second run changes nothing") {
  SandboxProgram api(today_frozen());
  Setup setup;
  setup.write(api.url());
  auto first = setup.start({"run", "facebook"});
  INFO(first.err());
  REQUIRE(first.wait() == 0);
  CHECK_THAT(first.err(), Contains("facebook succeeded in"));
  const auto insights = rows(setup.warehouse, "meta_insights");
  CHECK(insights.size() > 20);
  CHECK(rows(setup.warehouse, "meta_campaigns").size() > 1);
  CHECK(query(setup.warehouse, "SELECT count(*) > 2 FROM _sluice_loads") == "1");

  REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  CHECK(rows(setup.warehouse, "meta_insights") == insights);

  auto runs = setup.start({"runs", "-o", "json"});
  REQUIRE(runs.wait() == 0);
  const auto json = nlohmann::json::parse(runs.out());
  REQUIRE(json.size() == 2);
  CHECK(json[0]["outcome"] == "succeeded");
  CHECK(json[0]["trigger"] == "manual");
  CHECK(json[0]["counts"]["inserted"] == 0);
  CHECK(json[1]["counts"]["inserted"] > 20);

  auto status = setup.start({"status"});
  CHECK(status.wait() == 0);
  CHECK_THAT(status.out(), Contains("facebook") && Contains("succeeded") && !Contains("\x1b["));
  CHECK_THAT(status.err(), Contains("no daemon answers"));
}

TEST_CASE("one stream alone, and one that is not there") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  REQUIRE(setup.start({"run", "facebook", "--stream", "campaigns"}).wait() == 0);
  CHECK(query(setup.warehouse, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta_insights'") == "0");
  auto wrong = setup.start({"run", "facebook", "--stream", "adverts"});
  CHECK(wrong.wait() == 2);
  CHECK_THAT(wrong.err(), Contains("no stream adverts") && Contains("campaigns, insights"));
}

TEST_CASE("a refused token is one clear message, exit 1, and the token is nowhere") {
  SandboxProgram api({"--token", "another"});
  Setup setup;
  setup.write(api.url());
  auto run = setup.start({"run", "facebook", "--log-level", "debug"});
  CHECK(run.wait() == 1);
  CHECK_THAT(run.err(), Contains("facebook failed"));
  CHECK_THAT(run.err() + run.out(), !Contains(canary_token));
}

TEST_CASE("a wrong file is exit 78 with every fault and its place") {
  Setup setup;
  setup.write("http://127.0.0.1:1", "{cron: \"61 * * * *\"}", "limts: {}\n");
  for (const auto* command : {"check", "serve", "status", "plan"}) {
    auto program = setup.start({command});
    CHECK(program.wait() == 78);
    CHECK_THAT(program.err(), Contains("sluice.yaml:") && Contains("limts") && Contains("limits") && Contains("61"));
  }
  Program missing("sluice", {"check", "-c", setup.folder / "nowhere.yaml"});
  CHECK(missing.wait() == 78);
  CHECK_THAT(missing.err(), Contains("nowhere.yaml") && Contains("No such file"));
}

TEST_CASE("a command line that is not understood is exit 2; help and version are 0") {
  CHECK(Program("sluice", {"frobnicate"}).wait() == 2);
  CHECK(Program("sluice", {}).wait() == 2);
  CHECK(Program("sluice", {"--help"}).wait() == 0);
  Program version("sluice", {"version"});
  CHECK(version.wait() == 0);
  CHECK_THAT(version.out(), Contains("sluice ") && Contains("sqlite "));
  Program schema("sluice", {"schema"});
  CHECK(schema.wait() == 0);
  CHECK(nlohmann::json::parse(schema.out())["properties"].contains("pipelines"));
}

TEST_CASE("check, plan, discover and preview tell what is there and load nothing") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url(), "{cron: \"7 * * * *\", timezone: Europe/London}");
  auto check = setup.start({"check", "--connect"});
  CHECK(check.wait() == 0);
  CHECK_THAT(check.out(), Contains("source meta") && Contains("sink warehouse"));
  auto plan = setup.start({"plan", "facebook", "-o", "json"});
  CHECK(plan.wait() == 0);
  const auto planned = nlohmann::json::parse(plan.out())[0];
  CHECK(planned["next_fires"].size() == 3);
  CHECK(planned["streams"][1]["slices"] > 0);
  CHECK_THAT(planned["streams"][1]["ddl"].dump(), Contains("CREATE TABLE"));
  auto discover = setup.start({"discover", "meta"});
  CHECK(discover.wait() == 0);
  CHECK_THAT(discover.out(), Contains("insights") && Contains("spend"));
  auto preview = setup.start({"preview", "facebook/insights", "--limit", "3", "-o", "json"});
  CHECK(preview.wait() == 0);
  CHECK(nlohmann::json::parse(preview.out())["rows"].size() == 3);
  CHECK_THAT(check.err() + plan.err() + discover.err() + preview.err(), !Contains(canary_token));
  CHECK_FALSE(std::ifstream(setup.warehouse));
}

TEST_CASE("a backfill loads its days once; the same command finds nothing left to do") {
  SandboxProgram api(today_frozen());
  Setup setup;
  setup.write(api.url());
  const auto today = day_of(std::chrono::floor<Duration>(std::chrono::system_clock::now()), utc());
  const auto from = format_day(today - 40), to = format_day(today - 38);
  auto dry = setup.start({"backfill", "facebook", "--from", from, "--to", to, "--dry-run"});
  CHECK(dry.wait() == 0);
  CHECK_THAT(dry.out(), Contains("6 slices would be loaded"));
  auto first = setup.start({"backfill", "facebook", "--from", from, "--to", to});
  CHECK(first.wait() == 0);
  CHECK_THAT(first.err(), Contains("6 slices"));
  CHECK(query(setup.warehouse, "SELECT count(DISTINCT date_start) FROM meta_insights") == "3");
  auto again = setup.start({"backfill", "facebook", "--from", from, "--to", to});
  CHECK(again.wait() == 0);
  CHECK_THAT(again.err(), Contains("0 slices"));
  CHECK(query(setup.warehouse, "SELECT count(*) FROM _sluice_progress WHERE lane = 'live'") == "0");
}

TEST_CASE("plan names the days that no run brings, and the command that does") {
  SandboxProgram api(today_frozen());
  Setup setup;
  const auto planned = [&](const std::string& insights) {
    setup.insights = insights;
    setup.write(api.url());
    auto plan = setup.start({"plan", "facebook"});
    CHECK(plan.wait() == 0);
    return plan.out();
  };
  const auto today = day_of(std::chrono::floor<Duration>(std::chrono::system_clock::now()), utc());
  const auto from = format_day(today - 31), to = format_day(today - 29);
  const std::string fields = "level: ad, fields: [impressions, spend";
  CHECK_THAT(planned(fields + "], window: {lookback: 2d}"), !Contains("sluice backfill"));
  REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  CHECK_THAT(planned(fields + "], window: {lookback: 2d}"), !Contains("sluice backfill"));

  const auto earlier = "], window: {lookback: 2d, start: " + from + "}";
  const auto command = fmt::format("sluice backfill facebook --from {} --to {} --stream insights\n", from, to);
  CHECK_THAT(planned(fields + earlier), Contains(command) && Contains("window.start is " + from));
  REQUIRE(setup.start({"backfill", "facebook", "--from", from, "--to", to, "--stream", "insights"}).wait() == 0);
  CHECK_THAT(planned(fields + earlier), !Contains("sluice backfill"));

  CHECK_THAT(planned(fields + ", clicks" + earlier),
             Contains("insights: new columns (clicks)") &&
                 Contains(fmt::format("sluice backfill facebook --from {} --to {} --stream insights\n", from,
                                      format_day(today - 3))));
  sqlite::Database(setup.warehouse).exec("ALTER TABLE meta_campaigns DROP COLUMN objective");
  CHECK_THAT(planned(fields + earlier), Contains("campaigns: new columns (objective)") &&
                                            Contains("sluice run facebook --stream campaigns --full-refresh\n"));
}

TEST_CASE("a backfill that is interrupted is recorded with what it had done") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url());
  const auto today = day_of(std::chrono::floor<Duration>(std::chrono::system_clock::now()), utc());
  auto backfill =
      setup.start({"backfill", "facebook", "--from", format_day(today - 400), "--to", format_day(today - 1)});
  const auto some_are_loaded = [&] {
    try {
      return query(setup.warehouse, "SELECT count(*) > 1 FROM _sluice_loads") == "1";
    } catch (const Error&) {
      return false;  // there is no such table yet
    }
  };
  for (int i = 0; i < 600 && !some_are_loaded(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  backfill.signal(SIGINT);
  CHECK(backfill.wait() == 130);
  auto runs = setup.start({"runs", "-o", "json"});
  REQUIRE(runs.wait() == 0);
  const auto run = nlohmann::json::parse(runs.out()).at(0);
  CHECK(run["outcome"] == "cancelled");
  CHECK(run["slices_published"] > 0);
  CHECK(run["counts"]["inserted"] > 0);
}

TEST_CASE("sluice demo --exit shows the whole thing and ends with 0") {
  Folder folder;
  Program demo("sluice", {"demo", folder / "demo", "--exit"});
  CHECK(demo.wait(120) == 0);
  INFO(demo.err());
  CHECK_THAT(demo.out(), Contains("facebook_insights") && Contains("/metrics") && Contains("warehouse.db") &&
                             Contains("sluice.yaml"));
  CHECK(rows(folder / "demo/warehouse.db", "facebook_insights").size() > 100);
  Program again("sluice", {"check", "-c", folder / "demo/sluice.yaml"});
  CHECK(again.wait() == 0);
}
