#pragma once
#include <libpq-fe.h>

#include "tests/program/setup.hpp"
#include "tests/support/postgres_cluster.hpp"
#include "tests/support/tcp_proxy.hpp"

namespace sluice::test {

// A pipeline into a PostgreSQL database of its own, which it reaches through a proxy that makes trouble.
struct PostgresSetup : Setup {
  std::string database = cluster().fresh_database();
  TcpProxy proxy{cluster().port()};

  explicit PostgresSetup(const std::string& api) {
    // With a first day, all runs load the same days, however many of them it takes.
    insights = "level: ad, window: {start: " + format_day(today() - 7) + ", lookback: 2d}";
    sink = fmt::format("{{type: postgres, url: \"{}\", schema: marketing}}", cluster().tcp_url(database, proxy.port()));
    write(api);
  }

  static PostgresCluster& cluster() { return PostgresCluster::instance(); }
  std::string ask(const std::string& sql) const {
    return cluster().psql(database, "SET search_path = marketing; " + sql);
  }
  // Both tables without what differs from run to run: how many rows, and a digest of them. Of the days before today,
  // since the accounts' midnights may pass between two runs.
  std::string tables() const {
    return rows_of("meta_campaigns") + ", " +
           rows_of("meta_insights", " WHERE date_start < '" + format_day(today()) + "'");
  }
  // Each published slice has one line that adds up and one step of its lane's version; nobody holds anything any more.
  void check_books() const {
    CHECK(ask("SELECT count(*) FROM _sluice_loads") == ask("SELECT sum(version) FROM _sluice_progress"));
    CHECK(ask("SELECT count(*) FROM _sluice_loads WHERE read <> "
              "inserted + updated + unchanged + duplicate + quarantined + filtered") == "0");
    CHECK(ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0");
  }

 private:
  std::string rows_of(const std::string& table, const std::string& where = "") const {
    return table + ' ' +
           ask("SELECT count(*) || ' rows ' || md5(string_agg(r, ';' ORDER BY r)) FROM (SELECT (to_jsonb(t) - "
               "'_sluice_run' - '_sluice_slice' - '_sluice_loaded_at')::text AS r FROM " +
               table + " t" + where + ") AS rows");
  }
};

// What a transaction of somebody else's locks, until this goes away.
class Held {
 public:
  Held(const PostgresSetup& setup, const std::string& table)
      : session_(PQconnectdb(PostgresSetup::cluster().url(setup.database).c_str()), &PQfinish) {
    const auto sql = "BEGIN; LOCK TABLE marketing." + table + " IN EXCLUSIVE MODE";
    std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(session_.get(), sql.c_str()), &PQclear);
    REQUIRE(PQresultStatus(result.get()) == PGRES_COMMAND_OK);
  }

 private:
  std::unique_ptr<PGconn, void (*)(PGconn*)> session_;
};

}  // namespace sluice::test
