#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "tests/sinks/postgres_fixture.hpp"
#include "tests/support/tcp_proxy.hpp"

using namespace sluice;
using namespace sluice::test;
using Trouble = TcpProxy::Trouble;

// What happens to a replay when the server or the way to it fails, at each of its steps.

namespace {

const std::string commit_text("COMMIT\0", 7);  // the whole statement

// A table with one row, two rows in quarantine, and a proxy between the sink and the server.
struct FaultyReplay {
  std::string database = PostgresCluster::instance().fresh_database();
  TcpProxy proxy{PostgresCluster::instance().port()};
  Warehouse warehouse{database, PostgresCluster::instance().tcp_url(database, proxy.port())};

  FaultyReplay() {
    warehouse.run(warehouse.sink().prepare(ads_table()));
    Publish what;
    what.rejects = {Reject{R"(["act_1","2026-03-01","fits"])", "no number", "type", "fits"},
                    Reject{R"(["act_1","2026-03-01","bad"])", "no number", "type", "bad"}};
    publish(warehouse, what, {{"old"}});
    warehouse.events.all.clear();
  }

  Replayed replay() {
    auto& sink = warehouse.sink();
    const auto rows = warehouse.run(sink.quarantined("ads", "insights", {}, 100));
    const auto reads = warehouse.run(sink.quarantined_reads("ads", "insights", {}));
    const auto load =
        warehouse.run(sink.open(ads_table(), live("act_1", "replay"), march(1), reads.at(0).run, reads.at(0).started));
    for (const auto& row : rows) {
      auto batch = row.raw == "fits" ? insights_batch({{"fits"}}) : Batch(6);
      if (row.raw == "fits")
        batch.set_raw(row.raw);
      else
        batch.rejects.push_back(Reject{row.key, "still no number", "type", row.raw});
      warehouse.run(load->stage(batch));
    }
    return warehouse.run(load->replay(rows));
  }

  std::string ads() const { return warehouse.ask("SELECT string_agg(ad_id, ' ' ORDER BY ad_id) FROM insights"); }
  std::string quarantine() const {
    return warehouse.ask("SELECT string_agg(raw || ': ' || reason, ', ' ORDER BY raw) FROM _sluice_quarantine");
  }
  std::string ledger() const { return warehouse.ask("SELECT count(*) FROM _sluice_loads WHERE lane = 'replay'"); }
  std::vector<std::string> outcomes() const {
    std::vector<std::string> found;
    for (const auto& done : warehouse.events.of<TransactionDone>()) found.push_back(done.outcome);
    return found;
  }
  void check_untouched() const {
    CHECK(ads() == "old");
    CHECK(quarantine() == "bad: no number, fits: no number");
    CHECK(ledger() == "0");
  }
  void check_done() const {
    CHECK(ads() == "fits old");
    CHECK(quarantine() == "bad: still no number");
    CHECK(ledger() == "1");
  }
};

}  // namespace

TEST_CASE("a replay whose COMMIT went through and lost its reply counts as done, once") {
  FaultyReplay faulty;
  faulty.proxy.make(Trouble::swallow_reply, commit_text);
  CHECK(faulty.replay().loaded == 1);
  CHECK(faulty.proxy.made() == 1);
  CHECK(faulty.outcomes() == std::vector<std::string>{"unknown", "committed"});
  faulty.check_done();
}

TEST_CASE("a replay that breaks at any step, before COMMIT arrives, has written nothing and can be repeated") {
  FaultyReplay faulty;
  const auto word =
      GENERATE(as<std::string>(), "FOR UPDATE", "pg_advisory_xact_lock", "COPY pg_temp",
               "INSERT INTO \"marketing\".\"insights\"", "DELETE FROM \"marketing\".\"_sluice_quarantine\"",
               "INSERT INTO \"marketing\".\"_sluice_loads\"", commit_text);
  INFO(word);
  faulty.proxy.make(Trouble::swallow_request, word);
  try {
    faulty.replay();
    FAIL("the lost connection was not noticed");
  } catch (const Error& error) {
    CHECK(error.passing());
  }
  CHECK(faulty.proxy.made() == 1);
  faulty.check_untouched();
  CHECK(faulty.replay().loaded == 1);
  faulty.check_done();
  CHECK(faulty.replay().refused == 1);  // a third one finds nothing to load
  faulty.check_done();
}

TEST_CASE("a replay waits for a publish of the same partition that is under way, then sees what it left") {
  FaultyReplay faulty;
  auto& warehouse = faulty.warehouse;
  const auto rows = warehouse.run(warehouse.sink().quarantined("ads", "insights", {}, 100));
  Publish what;  // the same slice, read again: its rows in the quarantine are gone
  what.run = "run-2";
  publish(warehouse, what, {{"old"}, {"fits"}});
  const auto load = warehouse.run(
      warehouse.sink().open(ads_table(), live("act_1", "replay"), march(1), "run-1", warehouse.clock.now()));
  auto batch = insights_batch({{"fits"}});
  batch.set_raw("fits");
  warehouse.run(load->stage(batch));
  CHECK_THROWS_WITH(warehouse.run(load->replay(rows)), Catch::Contains("run the command again"));
  CHECK(faulty.ads() == "fits old");
  CHECK(faulty.ledger() == "0");
}
