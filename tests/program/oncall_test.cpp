#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/program/setup.hpp"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;

// What the engineer on call relies on.

TEST_CASE("serve forgets what is older than `retention`, in its state and in every sink, and nothing else") {
  SandboxProgram api(with_token());
  Setup setup;
  setup.write(api.url(), "", "retention: 30d\n");
  REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  const auto state = setup.folder / "state.db";
  const auto count = [&](const std::string& what) { return query(setup.warehouse, "SELECT count(*) FROM " + what); };
  const auto kept = count("_sluice_loads"), rows = count("meta_insights");
  {
    sqlite::Database runs(state), warehouse(setup.warehouse);
    runs.exec(
        "INSERT INTO runs SELECT 'old', pipeline, trigger, planned, started - 31 * 86400000000, ended - 31 * "
        "86400000000, outcome, message, read, inserted, updated, unchanged, duplicate, quarantined, filtered, "
        "deleted, slices_published, slices_failed, attempt, passing FROM runs");
    warehouse.exec(
        "INSERT INTO _sluice_loads SELECT * FROM _sluice_loads; UPDATE _sluice_loads SET started_at = "
        "'2026-01-01T00:00:00.000000Z', committed_at = '2020-01-01T00:00:00.000000Z' WHERE rowid > " +
        kept +
        "; INSERT INTO _sluice_quarantine VALUES ('1', 'facebook', 'insights', 's', '', '', 'type', '{}', 'r', "
        "'2020-01-01T00:00:00.000000Z', '2020-01-01T00:00:00.000000Z')");
  }
  auto daemon = setup.start({"serve"});
  wait_until("the old books are gone", [&] {
    return query(state, "SELECT count(*) FROM runs") == "1" && count("_sluice_loads") == kept &&
           count("_sluice_quarantine") == "0";
  });
  CHECK(count("meta_insights") == rows);
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_THAT(daemon.err(), !Contains("warning"));
}

TEST_CASE("logs prints what a run said, from the daemon and without it") {
  SandboxProgram api(with_token({"--fault", "invalid_token"}));
  Setup setup;
  setup.write(api.url());
  CHECK(setup.start({"logs", "facebook"}).wait() == 2);
  auto daemon = setup.start({"serve"});
  fetch_until(setup.port, "/readyz", "200 OK");
  REQUIRE(setup.start({"trigger", "facebook"}).wait() == 0);
  fetch_until(setup.port, "/metrics", R"(outcome="failed",pipeline="facebook",trigger="manual"} 1)");
  const auto id = query(setup.folder / "state.db", "SELECT id FROM runs");

  const auto says_it = Contains("run of facebook started: manual") && Contains("error   failed in") &&
                       Contains("create a new access token") && !Contains(canary_token);
  std::string with_daemon;
  for (const auto& name : {id, id.substr(0, 10), std::string("facebook")}) {
    auto logs = setup.start({"logs", name});
    CHECK(logs.wait() == 0);
    CHECK_THAT(logs.out(), says_it);
    with_daemon = logs.out();
  }
  auto unknown = setup.start({"logs", "nope"});
  CHECK(unknown.wait() == 2);
  CHECK_THAT(unknown.err(), Contains("there is no run nope"));

  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  auto alone = setup.start({"logs", id});
  CHECK(alone.wait() == 0);
  CHECK(alone.out() == with_daemon);
  auto json = setup.start({"logs", id, "-o", "json"});
  CHECK(json.wait() == 0);
  const auto logs = nlohmann::json::parse(json.out());
  CHECK(logs["run"]["id"] == id);
  CHECK(logs["dropped"] == 0);
  CHECK(logs["lines"].front()["level"] == "info");
  CHECK(logs["lines"].back()["level"] == "error");
  CHECK(setup.start({"logs", "nope"}).wait() == 2);
}

TEST_CASE("a run in the foreground keeps what it said, too") {
  SandboxProgram api(with_token({"--fault", "http500"}));
  Setup setup;
  setup.write(api.url());
  CHECK(setup.start({"run", "facebook"}).wait() == 1);
  auto logs = setup.start({"logs", "facebook"});
  CHECK(logs.wait() == 0);
  CHECK_THAT(logs.out(), Contains("warning") && Contains("source=meta"));
}
