#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/program/app_setup.hpp"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;
using nlohmann::json;

// docs/runbooks/api-change.md, step by step.

namespace {

constexpr const char* new_profile = "{version: renamed, entries: {key.records: records | data}}";

struct Life : AppSetup {
  SandboxProgram api{sandbox()};
  Life() { write(api.url()); }

  int count(const std::string& from) const { return std::stoi(query(warehouse, "SELECT count(*) FROM " + from)); }
  int quarantined(const std::string& rule) const { return count("_sluice_quarantine WHERE rule = '" + rule + "'"); }
  std::string done_to(const std::string& of) const {
    return query(warehouse, "SELECT done_to FROM _sluice_progress WHERE stream = '" + of + "'");
  }
  // What a command that goes well prints.
  std::string says(std::vector<std::string> command) const {
    auto program = start(std::move(command));
    const auto code = program.wait();
    INFO(program.err());
    CHECK(code == 0);
    CHECK_THAT(program.out() + program.err(), !Contains(canary_token));
    return program.out();
  }
  json told(std::vector<std::string> command) const {
    command.insert(command.end(), {"-o", "json"});
    return json::parse(says(std::move(command)));
  }
};

std::string saved(const Folder& folder, const std::string& text) {
  std::ofstream(folder / "page.json") << text;
  return folder / "page.json";
}

}  // namespace

TEST_CASE("the runbook: an API changes its structure and a type, and nothing is lost, doubled or stopped") {
  Life life;
  life.says({"run", "app"});
  const auto all = life.count("app_events");
  CHECK(all >= 4 * AppSetup::events_per_day);
  const auto days = life.count("(SELECT DISTINCT event_date FROM app_events)");

  // A property changes its type: its rows go to quarantine, whole.
  life.api.fault("retyped_property");
  life.says({"run", "app"});
  const auto retyped = life.quarantined("type");
  REQUIRE(retyped >= AppSetup::events_per_day);
  CHECK(life.count("app_events") == all - retyped);

  // Then the records of an answer get another name.
  life.api.fault("renamed_member", "records=data");
  auto daemon = life.start({"serve"});
  fetch_until(life.port, "/readyz", "200 OK");
  const auto events_done_to = life.done_to("events");
  const auto counts_loads = life.count("_sluice_loads WHERE stream = 'event_counts'");
  life.says({"trigger", "app"});
  fetch_until(life.port, "/metrics",
              R"(sluice_pipeline_runs_total{outcome="partial",pipeline="app",trigger="manual"} 1)");

  // 1. See it.
  const auto metrics = fetch(life.port, "/metrics");
  const auto answers = life.quarantined("structure");
  REQUIRE(answers > 0);
  const auto counted =
      fmt::format(R"(sluice_schema_changes_total{{action="refused",pipeline="app",stream="events"}} {})", answers);
  CHECK_THAT(metrics, Contains(counted));
  CHECK_THAT(life.says({"runs", "app"}), Contains("expected a list \"records\""));
  const auto seen = life.told({"quarantine", "show", AppSetup::stream, "--rule", "structure"});
  REQUIRE(seen.size() == static_cast<std::size_t>(answers));
  CHECK_THAT(seen[0]["reason"].get<std::string>(), Contains("expected a list \"records\"") && Contains("\"data\""));
  CHECK(life.done_to("events") == events_done_to);
  CHECK(life.count("app_events") == all - retyped);
  CHECK(life.quarantined("type") == retyped);
  CHECK(life.count("_sluice_loads WHERE stream = 'event_counts'") > counts_loads);  // the other stream goes on

  // 2. Try the new profile, on the answer that was kept and on the API itself; it is shipped beside the old one.
  life.next_profile = new_profile;
  life.write(life.api.url());
  life.says({"check"});
  const auto page = saved(life.folder, seen[0]["raw"]);
  const auto rows = life.told({"preview", "app_next/events", "--input", page});
  CHECK(rows["rows"].size() == AppSetup::events_per_day);
  CHECK(rows["quarantine"].empty());
  CHECK(life.told({"preview", "app_next/events"})["rows"][0]["amount"] == "INR");
  const auto found = life.says({"discover", "app_next"});
  CHECK_THAT(found, Contains("event_props.Amount before") && Contains("app_next/events"));
  daemon.signal(SIGHUP);
  fetch_until(life.port, "/api/v1/pipelines", "app_next");
  CHECK(life.count("sqlite_schema WHERE name = 'app_next_events'") == 0);  // not enabled: nothing runs it

  // 3. Switch.
  life.profile = std::exchange(life.next_profile, "");
  life.amount_type = "text";
  life.write(life.api.url());
  daemon.signal(SIGHUP);
  wait_until("the switch", [&] { return fetch(life.port, "/api/v1/pipelines").find("app_next") == std::string::npos; });

  // 4. Replay the quarantine, beside the daemon.
  CHECK(life.told({"quarantine", "replay", AppSetup::stream, "--dry-run"})["loaded"] == retyped);
  const auto replayed = life.told({"quarantine", "replay", AppSetup::stream});
  CHECK(replayed["loaded"] == retyped);
  CHECK(replayed["refused"] == 0);
  CHECK(replayed["waiting"] == answers);
  CHECK(life.count("app_events") == all);
  CHECK(life.count("app_events WHERE amount = 'INR'") == retyped);
  CHECK(life.quarantined("type") == 0);
  CHECK(life.told({"quarantine", "replay", AppSetup::stream})["loaded"] == 0);

  // 5. The slices that failed load by themselves, and what was kept of them goes.
  life.says({"trigger", "app"});
  fetch_until(life.port, "/metrics",
              R"(sluice_pipeline_runs_total{outcome="succeeded",pipeline="app",trigger="manual"} 1)");
  fetch_until(life.port, "/metrics", R"(sluice_quarantine_rows{pipeline="app",stream="events"} 0)");
  CHECK(life.count("app_events") == all);
  CHECK(life.count("(SELECT DISTINCT event_date FROM app_events)") == days);
  CHECK(life.count("_sluice_quarantine") == 0);
  CHECK(life.count("_sluice_loads WHERE \"read\" <> inserted + updated + unchanged + duplicate + quarantined + "
                   "filtered") == 0);
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}

TEST_CASE("rows of the quarantine can be narrowed, and are forgotten only where that is said") {
  Life life;
  life.api.fault("retyped_property");
  life.says({"run", "app"});
  const auto all = life.quarantined("type");
  const auto slice = query(life.warehouse, "SELECT min(slice) FROM _sluice_quarantine");
  life.amount_type = "text";
  life.write(life.api.url());
  CHECK(life.told({"quarantine", "replay", AppSetup::stream, "--slice", slice})["loaded"] == AppSetup::events_per_day);
  CHECK(life.quarantined("type") == all - AppSetup::events_per_day);
  auto unsaid = life.start({"quarantine", "drop", AppSetup::stream});
  CHECK(unsaid.wait() == 2);
  CHECK_THAT(unsaid.err(), Contains("--all"));
  CHECK(life.told({"quarantine", "drop", AppSetup::stream, "--rule", "type"})["dropped"] ==
        all - AppSetup::events_per_day);
  CHECK(life.count("_sluice_quarantine") == 0);
}

TEST_CASE("rows that still do not fit stay, with the new reason") {
  Life life;
  life.api.fault("retyped_property");
  life.says({"run", "app"});
  const auto all = life.quarantined("type");
  life.amount_type = "boolean";
  life.write(life.api.url());
  auto replay = life.start({"quarantine", "replay", AppSetup::stream});
  CHECK(replay.wait() == 0);
  INFO(replay.err());
  CHECK_THAT(replay.out(),
             Contains(fmt::format("still refused {}", all)) && Contains("sluice quarantine list app/events"));
  CHECK(life.count("_sluice_quarantine WHERE reason LIKE '%expected boolean%'") == all);
  CHECK(life.count("app_events") == 0);
}

TEST_CASE("a replay does not run beside a run of its pipeline, and says what to do") {
  Life life;
  life.api.fault("in_progress");  // an export that is never ready
  SECTION("in the foreground") {
    auto run = life.start({"run", "app"});
    wait_until("a request that waits", [&] { return life.api.struck("in_progress") > 0; });
    auto replay = life.start({"quarantine", "replay", AppSetup::stream});
    CHECK(replay.wait() == 75);
    CHECK_THAT(replay.err(), Contains("app is held by sluice run") && Contains("wait for its end"));
    run.signal(SIGINT);
    run.wait();
  }
  SECTION("in the daemon") {
    auto daemon = life.start({"serve"});
    fetch_until(life.port, "/readyz", "200 OK");
    life.says({"trigger", "app"});
    wait_until("a request that waits", [&] { return life.api.struck("in_progress") > 0; });
    auto replay = life.start({"quarantine", "replay", AppSetup::stream});
    CHECK(replay.wait() == 75);
    CHECK_THAT(replay.err(), Contains("app is running") && Contains("sluice cancel app"));
    daemon.signal(SIGKILL);
    daemon.wait();
  }
}
