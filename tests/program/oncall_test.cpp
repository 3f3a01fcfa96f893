#include <catch2/catch.hpp>
#include <csignal>

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
