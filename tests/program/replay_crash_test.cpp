#include <catch2/catch.hpp>
#include <csignal>

#include "tests/program/app_setup.hpp"
#include "tests/support/postgres_cluster.hpp"
#include "tests/support/tcp_proxy.hpp"

using namespace sluice;
using namespace sluice::test;
using Trouble = TcpProxy::Trouble;

namespace {

// All events of the days in quarantine, of a type that fits now; PostgreSQL behind a proxy that makes trouble.
struct Quarantined : AppSetup {
  SandboxProgram api{sandbox()};
  std::string database = PostgresCluster::instance().fresh_database();
  TcpProxy proxy{PostgresCluster::instance().port()};
  std::string all;

  Quarantined() {
    const auto url = PostgresCluster::instance().tcp_url(database, proxy.port());
    sink = fmt::format("{{type: postgres, url: \"{}\", schema: marketing}}", url);
    write(api.url());
    api.fault("retyped_property");
    auto run = start({"run", "app"});
    INFO(run.err());
    REQUIRE(run.wait() == 0);
    all = ask("SELECT count(*) FROM _sluice_quarantine");
    REQUIRE(std::stoi(all) >= 4 * events_per_day);
    amount_type = "text";
    write(api.url());
  }
  std::string ask(const std::string& sql) const {
    return PostgresCluster::instance().psql(database, "SET search_path = marketing; " + sql);
  }
};

}  // namespace

TEST_CASE("killed at any step of a replay and run again, each row is loaded once") {
  const auto [trouble, word] = GENERATE(table<Trouble, std::string>(
      {{Trouble::stall, "ALTER TABLE"},
       {Trouble::stall, "FOR UPDATE"},
       {Trouble::stall, "COPY pg_temp"},
       {Trouble::stall, "INSERT INTO \"marketing\".\"app_events\""},
       {Trouble::stall, "DELETE FROM \"marketing\".\"_sluice_quarantine\""},  // with it COMMIT
       {Trouble::swallow_reply, "DELETE FROM \"marketing\".\"_sluice_quarantine\""}}));
  INFO(word);
  Quarantined app;
  app.proxy.make(trouble, word);
  auto killed = app.start({"quarantine", "replay", AppSetup::stream});
  wait_until("the step at which it is killed", [&] { return app.proxy.made() == 1; });
  killed.signal(SIGKILL);
  killed.wait();
  auto again = app.start({"quarantine", "replay", AppSetup::stream});
  CHECK(again.wait() == 0);
  INFO(again.err());
  CHECK(app.ask("SELECT count(*) FROM app_events") == app.all);
  CHECK(app.ask("SELECT count(*) FROM _sluice_quarantine") == "0");
  CHECK(app.ask("SELECT sum(inserted) FROM _sluice_loads WHERE lane = 'replay'") == app.all);
  CHECK(app.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0");
}
