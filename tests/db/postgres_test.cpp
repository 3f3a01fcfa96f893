#include "db/postgres.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/certificates.hpp"
#include "tests/support/folder.hpp"
#include "tests/support/postgres_cluster.hpp"
#include "tests/support/real_loop.hpp"
#include "tests/support/tcp_proxy.hpp"

using namespace sluice;
using namespace sluice::pg;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

Target target_of(std::string url) {
  Target target;
  target.who = "sink warehouse";
  target.url = Secret(std::move(url));
  return target;
}

std::string parameter(const Parameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters)
    if (key == name) return value;
  return "(none)";
}

// A session with a database of the test's own.
struct Session {
  explicit Session(Target target) { connection = run(Connection::open(target, clock)); }
  Session() : Session(target_of(PostgresCluster::instance().url(PostgresCluster::instance().fresh_database()))) {}
  template <typename T>
  T run(task<T> work) {
    return run_on(io, std::move(work));
  }
  void run(task<void> work) { run_on(io, std::move(work)); }
  std::string ask(const std::string& sql) { return run(connection->exec(sql)).text(0, 0); }

  asio::io_context io;
  RealClock clock{io.get_executor()};
  std::unique_ptr<Connection> connection;
};

PgError failure_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const PgError& error) {
    return error;
  }
  FAIL("nothing was thrown");
  throw std::logic_error("unreachable");
}

PgError connect_failure(const Target& target) {
  return failure_of([&] { Session session(target); });
}

}  // namespace

TEST_CASE("the URL's forms are read, and what it does not say is made safe") {
  const auto parameters = connection_parameters(target_of("postgresql://me@db.example:5433/sales"));
  CHECK(parameter(parameters, "host") == "db.example");
  CHECK(parameter(parameters, "sslmode") == "verify-full");
  CHECK(parameter(parameters, "sslrootcert") != "(none)");
  CHECK(parameter(parameters, "gssencmode") == "disable");
  CHECK(parameter(parameters, "target_session_attrs") == "read-write");
  CHECK(parameter(parameters, "fallback_application_name") == "sluice");

  auto target = target_of("host=/run/pg dbname=x password=old sslmode=require sslrootcert=/a application_name=mine");
  target.password = Secret("new");
  const auto other = connection_parameters(target);
  CHECK(parameter(other, "password") == "new");
  CHECK(parameter(other, "sslmode") == "require");
  CHECK(parameter(other, "sslrootcert") == "/a");
  CHECK(parameter(other, "application_name") == "mine");
  target.ca_file = "/b";
  CHECK(parameter(connection_parameters(target), "sslrootcert") == "/b");
}

TEST_CASE("a URL that cannot be read is refused without its text, which may hold the password") {
  CHECK_THROWS_WITH(connection_parameters(target_of("postgresql://me:hun%zzter2@h/db")),
                    Catch::Contains("sink warehouse") && !Catch::Contains("zzter2"));
}

TEST_CASE("what libpq would cut off at a zero byte is refused") {
  for (const auto& url :
       {std::string("postgresql://me@h/sales%00_test"), std::string("postgresql://me@h/sales\0_test", 30),
        std::string("host=h dbname=x\0 sslmode=verify-full", 36)})
    CHECK_THROWS_WITH(connection_parameters(target_of(url)),
                      Catch::Contains("sink warehouse: its url cannot be read") && Catch::Contains("zero bytes"));
  auto target = target_of("postgresql://me@h/sales");
  target.password = Secret(std::string("hunter\0two", 10));
  CHECK_THROWS_WITH(connection_parameters(target),
                    Catch::Contains("password holds a zero byte") && !Catch::Contains("hunter"));
}

TEST_CASE("each host of the URL is an endpoint of its own, and only names are looked up") {
  const auto found = endpoints(connection_parameters(target_of("postgresql://a:1,b:2/x")));
  REQUIRE(found.size() == 2);
  CHECK(found[0].host == "a");
  CHECK(found[1].port == "2");
  CHECK(found[1].needs_lookup);
  CHECK_FALSE(endpoints(connection_parameters(target_of("host=/run/pg")))[0].needs_lookup);
  CHECK(endpoints(connection_parameters(target_of("host=a,b hostaddr=1.2.3.4,5.6.7.8"))).size() == 1);
}

TEST_CASE("the server's errors say whether to try again, stop, or do something first") {
  for (const auto* passing :
       {"08006", "57P01", "57P03", "40001", "40P01", "53100", "53300", "55P03", "25006", "25P03", "25P04", "57014", ""})
    CHECK(remedy_for(passing) == Remedy::retry);
  for (const auto* lasting : {"28P01", "28000", "3D000", "42501", "42P01", "22P02"})
    CHECK(remedy_for(lasting) == Remedy::give_up);
  CHECK_THAT(std::string(advice_for("53100")), Catch::Contains("disk is full"));
  CHECK_THAT(std::string(advice_for("28P01")), Catch::Contains("password"));
}

TEST_CASE("a session is set up so that the server's own settings do not matter") {
  auto& cluster = PostgresCluster::instance();
  const auto database = cluster.fresh_database();
  for (const auto* setting : {"default_transaction_isolation = 'repeatable read'", "idle_session_timeout = '1s'",
                              "statement_timeout = '1s'", "search_path = 'public'", "TimeZone = 'Asia/Kolkata'"})
    cluster.psql("postgres", "ALTER DATABASE " + database + " SET " + setting);
  Session session(target_of(cluster.url(database)));
  CHECK(session.ask("SHOW default_transaction_isolation") == "read committed");
  CHECK(session.ask("SHOW idle_session_timeout") == "0");
  CHECK(session.ask("SHOW search_path") == "pg_catalog");
  CHECK(session.ask("SHOW TimeZone") == "UTC");
  CHECK(session.ask("SHOW statement_timeout") == "10min");
  CHECK(session.ask("SHOW client_connection_check_interval") == "10s");
  CHECK(session.ask("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()") == "sluice");
  CHECK(session.connection->idle());
}

TEST_CASE("a machine that is gone keeps its session for a minute") {
  auto& cluster = PostgresCluster::instance();
  Session session(target_of(cluster.tcp_url(cluster.fresh_database())));
  CHECK(session.ask("SHOW tcp_keepalives_idle") == "30");
  CHECK(session.ask("SHOW tcp_keepalives_interval") == "10");
  CHECK(session.ask("SHOW tcp_keepalives_count") == "3");
}

TEST_CASE("parameters and results, NULL too, go through as they are") {
  Session session;
  const auto result = session.run(
      session.connection->exec(Statement("SELECT $1::text, $2::text, 1 / 4.0", {"it's \"\xc3\xa9", std::nullopt})));
  CHECK(result.text(0, 0) == "it's \"\xc3\xa9");
  CHECK(result.is_null(0, 1));
  CHECK(result.maybe(0, 1) == std::nullopt);
  CHECK_THROWS_AS(result.integer(0, 2), std::logic_error);
}

TEST_CASE("an error names the place and leaves the session usable") {
  Session session;
  session.connection->set_context("table orders");
  const auto error = failure_of([&] { session.ask("SELECT * FROM nowhere.nothing"); });
  CHECK(error.sqlstate() == "42P01");
  CHECK_FALSE(error.connection_lost());
  CHECK_THAT(error.what(),
             Catch::StartsWith("sink warehouse, table orders: ") &&
                 Catch::EndsWith("(SQLSTATE 42P01): if somebody dropped or renamed it, the next run makes "
                                 "it again"));
  CHECK_THAT(
      failure_of([&] { session.ask("SELECT gone FROM pg_class"); }).what(),
      Catch::EndsWith("(SQLSTATE 42703): if somebody dropped or renamed the column, the next run adds it again"));
  CHECK(session.ask("SELECT 1") == "1");
}

TEST_CASE("errors do not quote the values of rows") {
  Session session;
  session.run(session.connection->exec("CREATE TEMP TABLE t (email text PRIMARY KEY)"));
  const Statement insert("INSERT INTO pg_temp.t VALUES ($1)", {"jane@example.com"});
  session.run(session.connection->exec(insert));
  const auto error = failure_of([&] { session.run(session.connection->exec(insert)); });
  CHECK(error.sqlstate() == "23505");
  CHECK_THAT(error.what(), !Catch::Contains("jane"));
}

TEST_CASE("statements of one round trip stop at the first failure") {
  Session session;
  std::vector<Statement> statements;
  statements.emplace_back("CREATE TEMP TABLE t (x int PRIMARY KEY)");
  statements.emplace_back("INSERT INTO pg_temp.t VALUES (1), (2)");
  const auto results = session.run(session.connection->exec_all(statements));
  REQUIRE(results.size() == 2);
  CHECK(results[1].affected() == 2);
  CHECK(results[1].tag() == "INSERT 0 2");
  std::vector<Statement> failing;
  failing.emplace_back("BEGIN");
  failing.emplace_back("INSERT INTO pg_temp.t VALUES (1)");
  failing.emplace_back("COMMIT");
  const auto error = failure_of([&] { session.run(session.connection->exec_all(failing)); });
  CHECK(error.sqlstate() == "23505");
  CHECK(session.connection->in_transaction());
  CHECK_FALSE(session.connection->idle());
  session.run(session.connection->exec("ROLLBACK"));
  CHECK(session.ask("SELECT count(*) FROM pg_temp.t") == "2");
}

TEST_CASE("statements that the server refuses are undone and told, and the transaction goes on") {
  Session session;
  auto& connection = *session.connection;
  session.run(connection.exec("BEGIN"));
  session.run(connection.exec("CREATE TEMP TABLE t (x int)"));
  std::vector<Statement> good, bad;
  good.emplace_back("INSERT INTO pg_temp.t VALUES (1)");
  bad.emplace_back("INSERT INTO pg_temp.t VALUES (2)");
  bad.emplace_back("INSERT INTO pg_temp.t VALUES ('three')");
  CHECK_FALSE(session.run(connection.attempt(good)));
  const auto refusal = session.run(connection.attempt(bad));
  REQUIRE(refusal);
  CHECK(refusal->sqlstate() == "22P02");
  CHECK_FALSE(session.run(connection.attempt(good)));
  session.run(connection.exec("COMMIT"));
  CHECK(session.ask("SELECT string_agg(x::text, ' ') FROM pg_temp.t") == "1 1");
}

TEST_CASE("what passes by itself is no refusal, but a lock is") {
  Session session;
  const auto refused_with = [&](const std::string& sqlstate) {
    std::vector<Statement> statements;
    statements.emplace_back("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '" + sqlstate + "'; END $$");
    session.run(session.connection->exec("BEGIN"));
    const auto refusal = session.run(session.connection->attempt(statements));
    session.run(session.connection->exec("ROLLBACK"));
    return refusal.has_value();
  };
  CHECK(refused_with("55P03"));
  CHECK(failure_of([&] { refused_with("53100"); }).sqlstate() == "53100");
}

TEST_CASE("COPY takes more than the socket holds, and counts what was stored") {
  Session session;
  session.run(session.connection->exec("CREATE TEMP TABLE t (x text)"));
  const auto copy = [&]() -> task<std::int64_t> {
    co_await session.connection->begin_copy("COPY pg_temp.t FROM STDIN");
    const std::string line(1023, 'x');
    std::string block;
    for (int i = 0; i < 1024; ++i) block += line + "\n";
    for (int i = 0; i < 20; ++i) co_await session.connection->put(block);
    co_return co_await session.connection->end_copy();
  };
  CHECK(session.run(copy()) == 20 * 1024);
  CHECK(session.connection->idle());
}

TEST_CASE("a COPY that the server refuses, at its start or in its midst, is an error and not a hang") {
  Session session;
  CHECK(failure_of([&] {
          session.run(session.connection->begin_copy("COPY pg_catalog.nothing FROM STDIN"));
        }).sqlstate() == "42P01");
  session.run(session.connection->exec("CREATE TEMP TABLE t (x int)"));
  const auto copy = [&]() -> task<void> {
    co_await session.connection->begin_copy("COPY pg_temp.t FROM STDIN");
    co_await session.connection->put("one\n");
    co_await session.connection->end_copy();
  };
  CHECK(failure_of([&] { session.run(copy()); }).sqlstate() == "22P02");
  CHECK(session.ask("SELECT 1") == "1");
}

TEST_CASE("a backend that is ended is a lost connection with a passing cause") {
  Session session;
  const auto error = failure_of([&] { session.ask("SELECT pg_terminate_backend(pg_backend_pid())"); });
  CHECK(error.connection_lost());
  CHECK(error.passing());
  CHECK_FALSE(session.connection->idle());
  CHECK(failure_of([&] { session.ask("SELECT 1"); }).connection_lost());
}

TEST_CASE("a session that the server ends for idling in a transaction is lost, with a passing cause") {
  Session session;
  session.ask("SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', '20', false)");
  session.run(session.connection->exec("BEGIN"));
  session.run(session.clock.sleep_for(200ms));
  const auto error = failure_of([&] { session.ask("SELECT 1"); });
  CHECK(error.sqlstate() == "25P03");
  CHECK(error.connection_lost());
  CHECK(error.passing());
}

TEST_CASE("a cancelled statement closes the session: nobody could tell its answer from the next one's") {
  Session session;
  const auto work = [&]() -> task<void> {
    const auto in_time = co_await with_timeout(session.clock, 50ms, session.connection->exec("SELECT pg_sleep(30)"));
    CHECK_FALSE(in_time.has_value());
  };
  session.run(work());
  CHECK_FALSE(session.connection->idle());
}

TEST_CASE("nobody at the address is a passing failure; a wrong database or user is not") {
  auto& cluster = PostgresCluster::instance();
  const auto refused = connect_failure(target_of("postgresql://me@127.0.0.1:1/x?sslmode=disable"));
  CHECK(refused.passing());
  CHECK_THAT(refused.what(), Catch::Contains("sink warehouse: no connection"));
  const auto missing = connect_failure(target_of(cluster.url("nowhere")));
  CHECK(missing.sqlstate() == "3D000");
  CHECK_FALSE(missing.passing());
  CHECK_THAT(missing.what(), Catch::Contains("create the database"));
  const auto unknown = connect_failure(target_of("postgresql://me@no.such.host.invalid/x"));
  CHECK(unknown.passing());
  CHECK_THAT(unknown.what(), Catch::Contains("no.such.host.invalid"));
}

TEST_CASE("a host that does not answer is given up and the next one is tried") {
  auto& cluster = PostgresCluster::instance();
  const auto database = cluster.fresh_database();
  TcpProxy silent(cluster.port());
  silent.make(TcpProxy::Trouble::stall, "user");
  auto target = target_of(fmt::format("postgresql://postgres@127.0.0.1:{},127.0.0.1:{}/{}?sslmode=disable",
                                      silent.port(), cluster.port(), database));
  target.connect_timeout = 200ms;
  Session session(target);
  CHECK(silent.made() == 1);
  CHECK(session.ask("SELECT 1") == "1");
}

TEST_CASE("a server without TLS is refused unless the URL allows it") {
  auto& cluster = PostgresCluster::instance();
  const auto error =
      connect_failure(target_of(fmt::format("postgresql://postgres@127.0.0.1:{}/postgres", cluster.port())));
  CHECK_FALSE(error.passing());
  CHECK_THAT(error.what(), Catch::Contains("sslmode=disable"));
}

TEST_CASE("TLS is verified in full: authority and name") {
  auto& cluster = PostgresCluster::instance();
  Folder folder;
  Authority authority(folder.path().string()), other((folder / "."), "other authority");
  const auto issued = authority.issue("server", "DNS:localhost");
  cluster.encrypt(issued.certificate, issued.key);
  const auto url = [&](const char* host) {
    return fmt::format("postgresql://postgres@{}:{}/postgres", host, cluster.port());
  };
  const auto target = [&](const char* host, const std::string& ca) {
    auto made = target_of(url(host));
    made.ca_file = ca;
    return made;
  };
  Session session(target("localhost", authority.ca_file()));
  CHECK(session.connection->encrypted());
  const auto end = session.connection->certificate_end();
  REQUIRE(end);
  const auto days = std::chrono::round<std::chrono::days>(*end - std::chrono::system_clock::now()).count();
  CHECK(days == 30);
  const auto wrong_name = connect_failure(target("127.0.0.1", authority.ca_file()));
  CHECK_FALSE(wrong_name.passing());
  CHECK_THAT(wrong_name.what(), Catch::Contains("ca_file"));
  const auto system_only = connect_failure(target_of(url("localhost")));
  CHECK_FALSE(system_only.passing());
  CHECK_THAT(system_only.what(), Catch::Contains("not trusted"));
  cluster.encrypt_no_more();
}

TEST_CASE("a pool keeps sessions, makes as many as allowed, and renews what the server has closed") {
  auto& cluster = PostgresCluster::instance();
  asio::io_context io;
  RealClock clock(io.get_executor());
  std::vector<bool> states;
  Pool pool(io.get_executor(), clock, target_of(cluster.url(cluster.fresh_database())), 2,
            [&](bool up, const std::string&) { states.push_back(up); });
  const auto work = [&]() -> task<void> {
    auto first = co_await pool.acquire();
    auto second = co_await pool.acquire();
    const auto waiting = co_await with_timeout(clock, 50ms, pool.acquire());
    CHECK_FALSE(waiting.has_value());
    const auto pid = first->backend_pid();
    first.release();
    first = co_await pool.acquire();
    CHECK(first->backend_pid() == pid);
    co_await second->exec(fmt::format("SELECT pg_terminate_backend({})", pid));
    co_await clock.sleep_for(50ms);
    first.release();
    first = co_await pool.acquire();
    CHECK(first->backend_pid() != pid);
    co_await first->exec("BEGIN");
    const auto open = first->backend_pid();
    first.release();
    first = co_await pool.acquire();
    CHECK(first->backend_pid() != open);
    CHECK_FALSE(first->in_transaction());
  };
  run_on(io, work());
  CHECK(states == std::vector<bool>{true, true, true, true});
}
