#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.hpp"
#include "core/time.hpp"
#include "tests/program/setup.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/http_server.hpp"

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
  SandboxProgram api(with_token({"--rows-per-day", "5"}));  // on some days too few of the ads deliver
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

TEST_CASE("a file that is no saved reply is named, exit 1") {
  Setup setup;
  setup.write("http://127.0.0.1:1");
  const auto saved = setup.folder / "saved.json";
  for (const auto* text : {"<html>not found</html>", "", R"({"error":{"message":"expired","code":190}})"}) {
    std::ofstream(saved) << text;
    auto preview = setup.start({"preview", "facebook/insights", "--input", saved});
    CHECK(preview.wait() == 1);
    CHECK_THAT(preview.err(), Contains(saved + " is not a saved reply with rows of insights") && !Contains("again"));
  }
}

TEST_CASE("preview gives the numbers inside JSON columns digit by digit") {
  Setup setup;
  setup.write("http://127.0.0.1:1");
  const auto saved = setup.folder / "saved.json";
  const std::string actions = R"([{"value":123456789012345678.123456789}])";
  std::ofstream(saved) << R"({"data":[{"account_id":"1","date_start":"2026-03-01","ad_id":"5","actions":)" << actions
                       << "}]}";
  auto preview = setup.start({"preview", "facebook/insights", "--input", saved, "-o", "json"});
  CHECK(preview.wait() == 0);
  CHECK_THAT(preview.out(), Contains("\"actions\": " + actions));
  CHECK(nlohmann::json::parse(preview.out())["rows"][0]["ad_id"] == "5");
}

TEST_CASE("a pipeline that another run holds is said so, without advice that needs a daemon") {
  SandboxProgram api(with_token({"--report-delay", "300s"}));
  Setup setup;
  setup.write(api.url());
  auto first = setup.start({"run", "facebook"});
  const auto holds_the_lock = [&](const auto& entry) {
    if (entry.path().extension() != ".lock") return false;
    std::ifstream file(entry.path());
    const std::string holder{std::istreambuf_iterator<char>(file), {}};
    return holder.find(std::to_string(first.pid())) != std::string::npos;
  };
  wait_until("the lock is taken", [&] {
    const std::filesystem::recursive_directory_iterator files(setup.folder.path());
    return std::any_of(begin(files), end(files), holds_the_lock);
  });
  auto second = setup.start({"run", "facebook", "facebook"});
  CHECK(second.wait() == 75);
  CHECK_THAT(second.err(), Contains("held by sluice run, pid " + std::to_string(first.pid())) &&
                               Contains("wait for its end") && !Contains("trigger"));
}

TEST_CASE("a daemon behind a private authority's certificate is trusted by SSL_CERT_FILE") {
  Folder folder;
  Authority authority(folder.path().string());
  const auto issued = authority.issue("server", "IP:127.0.0.1");
  HttpServer server(
      [](Wire& wire) {
        while (!wire.read_request().empty()) wire.reply(200, "{}");
      },
      HttpServer::Tls(issued));
  Program refused("sluice", {"status", "--server", server.url("")});
  CHECK(refused.wait() == 1);
  CHECK_THAT(refused.err(), Contains("name that in the environment variable SSL_CERT_FILE"));
  Program trusted("sluice", {"status", "-o", "json", "--server", server.url("")},
                  {{"SSL_CERT_FILE", authority.ca_file()}});
  CHECK(trusted.wait() == 0);
  INFO(trusted.err());
  CHECK(trusted.out() == "{}\n");
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

TEST_CASE("a table that was dropped, or is another one, is loaded whole again; plan says so before") {
  SandboxProgram api(today_frozen());
  Setup setup;
  setup.write(api.url());
  REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  const auto campaigns = rows(setup.warehouse, "meta_campaigns"), insights = rows(setup.warehouse, "meta_insights");
  REQUIRE(campaigns.size() > 1);
  const auto slices_planned = [&] {
    auto plan = setup.start({"plan", "facebook", "-o", "json"});
    REQUIRE(plan.wait() == 0);
    return nlohmann::json::parse(plan.out())[0]["streams"][1]["slices"].get<int>();
  };
  const auto after_a_load = slices_planned();
  sqlite::Database(setup.warehouse).exec("DROP TABLE meta_campaigns");
  sqlite::Database(setup.warehouse).exec("DROP TABLE meta_insights");
  CHECK(slices_planned() > after_a_load);
  REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  CHECK(rows(setup.warehouse, "meta_campaigns") == campaigns);
  CHECK(rows(setup.warehouse, "meta_insights") == insights);
  CHECK(slices_planned() == after_a_load);
  setup.insights += ", table: insights_v2";
  setup.write(api.url());
  CHECK(slices_planned() > after_a_load);
  REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  CHECK(rows(setup.warehouse, "insights_v2") == insights);
}

TEST_CASE("a backfill that loads nothing, or under another lane's name, says why") {
  SandboxProgram api(today_frozen());
  Setup setup;
  setup.write(api.url());
  const auto backfill = [&](Day from, Day to, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"backfill", "facebook", "--from", format_day(from), "--to", format_day(to)});
    return setup.start(std::move(more));
  };
  for (const auto* name : {"live", "sweep", "a/b"}) {
    auto refused = backfill(today() - 2, today() - 1, {"--name", name});
    CHECK(refused.wait() == 2);
    CHECK_THAT(refused.err(), Contains("name: "));
  }
  auto ancient = backfill(today() - 4000, today() - 3999);
  CHECK(ancient.wait() == 0);
  CHECK_THAT(ancient.err(), Contains("0 slices") && Contains("outside what the source keeps"));
  auto future = backfill(today() + 5, today() + 9, {"--dry-run"});
  CHECK(future.wait() == 0);
  CHECK_THAT(future.out(), Contains("still to come"));
  auto clipped = backfill(today(), today() + 9, {"-o", "json"});
  CHECK(clipped.wait() == 0);
  CHECK_THAT(nlohmann::json::parse(clipped.out())["message"].get<std::string>(), Contains("ends with today"));
}

TEST_CASE("machines read one JSON document from every command") {
  auto options = today_frozen();
  options.insert(options.end(), {"--rows-per-day", "5"});  // on some days none of the ads delivers
  SandboxProgram api(options);
  Setup setup;
  setup.other_api = api.url();
  setup.write(api.url());
  const auto json = [&](std::vector<std::string> arguments, int code = 0) {
    arguments.insert(arguments.end(), {"-o", "json"});
    auto program = setup.start(std::move(arguments));
    INFO(program.err());
    CHECK(program.wait() == code);
    return nlohmann::json::parse(program.out());
  };
  CHECK(json({"run", "facebook", "other"}).size() == 2);
  CHECK(json({"version"})["libraries"].contains("sqlite"));
  const auto from = format_day(today() - 30), to = format_day(today() - 29);
  const auto dry = json({"backfill", "facebook", "--from", from, "--to", to, "--dry-run"});
  CHECK(dry["slices"] == 4);
  CHECK(dry["lanes"][0]["from"] == from);
  CHECK(json({"preview", "facebook/insights", "--limit", "1"})["rows"][0]["actions"].is_array());
  const auto run = json({"runs"})[0];
  CHECK(parse_instant(run["ended"].get<std::string>()) > parse_instant(run["started"].get<std::string>()));
  setup.write(api.url(), "{cron: nonsense}");
  const auto faults = json({"check"}, 78);
  CHECK(faults[0]["level"] == "error");
  CHECK_THAT(faults[0]["where"].get<std::string>(), Contains("sluice.yaml:"));
}

TEST_CASE("a reference that does not resolve is a fault of the configuration: exit 78") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.environment.clear();
  setup.write(api.url());
  const auto day = format_day(today() - 1);
  for (const auto& arguments : {std::vector<std::string>{"run", "facebook"},
                                {"backfill", "facebook", "--from", day, "--to", day},
                                {"preview", "facebook/insights"}}) {
    auto program = setup.start(arguments);
    CHECK(program.wait() == 78);
    CHECK_THAT(program.err(), Contains("env TOKEN") && Contains("not set"));
  }
}

TEST_CASE("check finds a start that is still to come, and with --connect a state that cannot be used") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.insights = "level: ad, window: {start: " + format_day(today() + 30) + "}";
  setup.write(api.url());
  auto check = setup.start({"check"});
  CHECK(check.wait() == 0);
  CHECK_THAT(check.out(), Contains("warning") && Contains("still to come") && Contains("sluice.yaml:"));
  auto run = setup.start({"run", "facebook", "--stream", "insights"});
  CHECK(run.wait() == 0);
  CHECK_THAT(run.err(), Contains("insights: nothing is loaded before window.start"));
  std::ofstream(setup.folder / "state.db") << "this is no database, however long it may be: " << std::string(5000, 'x');
  auto connected = setup.start({"check", "--connect"});
  CHECK(connected.wait() == 1);
  CHECK_THAT(connected.out(), Contains("state") && Contains("not a database"));
}

TEST_CASE("plan makes the bookkeeping once, gives one time for a fire, and none for a disabled pipeline") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.options = "    enabled: false\n";
  setup.write(api.url(), "{cron: \"7 * * * *\", jitter: 30m}");
  auto off = setup.start({"plan", "facebook"});
  CHECK(off.wait() == 0);
  CHECK_THAT(off.out(), Contains("disabled") && !Contains("  fires "));
  const auto first = off.out().find("_sluice_progress\" (");
  REQUIRE(first != std::string::npos);
  CHECK(off.out().find("_sluice_progress\" (", first + 1) == std::string::npos);
  setup.options.clear();
  setup.write(api.url(), "{cron: \"7 * * * *\", jitter: 30m}");
  auto on = setup.start({"plan", "facebook", "-o", "json"});
  REQUIRE(on.wait() == 0);
  const auto fire = nlohmann::json::parse(on.out())[0]["next_fires"][0];
  const auto utc_time = fire["utc"].get<std::string>(), local = fire["local"].get<std::string>();
  CHECK(utc_time.substr(11, 5) == local.substr(11, 5));
}

TEST_CASE("plan and run say that a table was loaded under another pipeline's name") {
  SandboxProgram api(today_frozen());
  Setup setup;
  setup.write(api.url());
  REQUIRE(setup.start({"run", "facebook", "--stream", "campaigns"}).wait() == 0);
  std::ofstream(setup.config) << "version: 1\n"
                              << "state: {url: \"sqlite://" << setup.folder / "state.db"
                              << "\"}\n"
                              << "sources: {meta: {type: facebook_ads, base_url: \"" << api.url()
                              << "\", access_token: {env: TOKEN}}}\n"
                              << "sinks: {warehouse: " << setup.sink << "}\n"
                              << "pipelines: {ads: {source: meta, sink: warehouse, streams: {campaigns: {}}}}\n";
  const auto renamed = Contains("loaded by the pipeline facebook until now");
  auto plan = setup.start({"plan"});
  CHECK(plan.wait() == 0);
  CHECK_THAT(plan.out(), renamed);
  auto run = setup.start({"run", "ads"});
  CHECK(run.wait() == 0);
  CHECK_THAT(run.err(), renamed);
  auto again = setup.start({"run", "ads"});
  CHECK(again.wait() == 0);
  CHECK_THAT(again.err(), !renamed);
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
  // Of the two accounts, in Berlin and in Los Angeles, the one that has the later day.
  const auto today =
      day_of(std::chrono::floor<Duration>(std::chrono::system_clock::now()), *load_zone("Europe/Berlin"));
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
  for (const auto* table : {"facebook_insights", "google_campaign_performance", "google_spend_by_day", "app_events"})
    CHECK(rows(folder / "demo/warehouse.db", table).size() > 50);
  Program again("sluice", {"check", "-c", folder / "demo/sluice.yaml"});
  CHECK(again.wait() == 0);
}
