#include <libpq-fe.h>

#include <catch2/catch.hpp>

#include "sinks/postgres_catalog.hpp"
#include "tests/sinks/postgres_fixture.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

// A warehouse whose ledger has `lines` old lines beside a fresh one.
struct Old : Prepared {
  explicit Old(int lines) {
    publish(*this, {{"1"}});
    ask(fmt::format(
        "INSERT INTO _sluice_loads SELECT (l).* FROM (SELECT l FROM _sluice_loads AS l) AS one, "
        "generate_series(1, {}) AS n; UPDATE _sluice_loads SET started_at = started_at - interval '100 days', "
        "committed_at = committed_at - interval '100 days' WHERE ctid <> (SELECT min(ctid) FROM _sluice_loads)",
        lines));
  }
  std::int64_t prune() { return run(sink().prune(clock.now() - 90 * 24h)); }
  std::string lines() const { return ask("SELECT count(*) FROM _sluice_loads"); }
};

// Somebody else's session.
class Session {
 public:
  explicit Session(const Warehouse& warehouse)
      : connection_(PQconnectdb(Warehouse::cluster().url(warehouse.database()).c_str()), &PQfinish) {}
  void exec(const std::string& sql) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(connection_.get(), sql.c_str()), &PQclear);
    INFO(PQerrorMessage(connection_.get()));
    REQUIRE((PQresultStatus(result.get()) == PGRES_COMMAND_OK || PQresultStatus(result.get()) == PGRES_TUPLES_OK));
  }

 private:
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
};

}  // namespace

TEST_CASE("more old lines than one statement removes are removed all the same") {
  Old warehouse(2500);
  CHECK(warehouse.prune() == 2500);
  CHECK(warehouse.lines() == "1");
}

TEST_CASE("removing old lines waits for nobody: what is locked stays for another day") {
  Old warehouse(3);
  Session other(warehouse);
  other.exec(
      "BEGIN; SELECT FROM marketing._sluice_loads WHERE ctid = (SELECT max(ctid) FROM marketing._sluice_loads) FOR "
      "UPDATE");
  CHECK(warehouse.prune() == 2);
  other.exec("ROLLBACK");
  CHECK(warehouse.prune() == 1);
}

TEST_CASE("while another process removes old lines, this one leaves it to it") {
  Old warehouse(3);
  Session other(warehouse);
  other.exec("SELECT pg_advisory_lock(" + advisory_key("sluice prune marketing") + ")");
  CHECK(warehouse.prune() == 0);
  other.exec("SELECT pg_advisory_unlock_all()");
  CHECK(warehouse.prune() == 3);
}
