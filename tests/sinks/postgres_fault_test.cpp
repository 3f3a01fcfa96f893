#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "core/error.hpp"
#include "db/postgres.hpp"
#include "tests/sinks/postgres_fixture.hpp"
#include "tests/support/tcp_proxy.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

std::vector<Row> many(int count, const std::string& spend = "1.5") {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) rows.push_back({"ad" + std::to_string(i), spend});
  return rows;
}

const std::string commit("COMMIT\0", 7);  // the whole statement, not ON COMMIT …

// A table with one published row, and a proxy between the sink and the server.
struct Faulty {
  Faulty() : proxy(PostgresCluster::instance().port()), warehouse(database, url()) { start(); }

  std::string url() const { return PostgresCluster::instance().tcp_url(database, proxy.port()); }
  void start() {
    warehouse.run(warehouse.sink().prepare(ads_table()));
    publish(warehouse, {{"old"}});
    warehouse.events.all.clear();
  }
  std::string ads() const { return warehouse.ask("SELECT string_agg(ad_id, ' ' ORDER BY ad_id) FROM insights"); }
  std::string versions() const { return warehouse.ask("SELECT max(version) FROM _sluice_progress"); }
  std::string ledger() const { return warehouse.ask("SELECT count(*) FROM _sluice_loads"); }
  std::vector<std::string> outcomes() const {
    std::vector<std::string> found;
    for (const auto& done : warehouse.events.of<TransactionDone>()) found.push_back(done.outcome);
    return found;
  }

  std::string database = PostgresCluster::instance().fresh_database();
  TcpProxy proxy;
  Warehouse warehouse;
};

// Ends every session of the database from outside, again and again until one was there to end.
class Terminator {
 public:
  Terminator(const Warehouse& warehouse, std::string condition)
      : thread_([this, &warehouse, condition] {
          const auto sql =
              "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'sluice' AND "
              "datname = '" +
              warehouse.database() + "' AND " + condition;
          while (!stop_ && killed_ == 0) killed_ = std::stoi(warehouse.cluster().psql("postgres", sql));
        }) {}
  ~Terminator() { wait(); }
  int wait() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return killed_;
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> killed_{0};
  std::thread thread_;
};

}  // namespace

TEST_CASE("COMMIT went through and its reply was lost: the slice counts as published, once") {
  Faulty faulty;
  faulty.proxy.make(TcpProxy::Trouble::swallow_reply, commit);
  const auto published = publish(faulty.warehouse, {{"new"}});
  CHECK(faulty.proxy.made() == 1);
  CHECK(published.outcome == Published::Outcome::published);
  CHECK(published.version == 2);
  CHECK(published.counts.inserted == 1);
  CHECK(published.counts.deleted == 1);
  CHECK(faulty.ads() == "new");
  CHECK(faulty.versions() == "2");
  CHECK(faulty.outcomes() == std::vector<std::string>{"unknown", "committed"});
  const auto done = faulty.warehouse.events.of<TransactionDone>();
  CHECK(done[1].took == done[0].took);  // without the time that finding out took
  CHECK(publish(faulty.warehouse, {{"new"}}).counts.unchanged == 1);
}

TEST_CASE(
    "COMMIT never arrived: nothing was written, the error is a passing one, and the slice can be published again") {
  Faulty faulty;
  faulty.proxy.make(TcpProxy::Trouble::swallow_request, commit);
  CHECK_THROWS_AS(publish(faulty.warehouse, {{"new"}}), pg::PgError);
  CHECK(faulty.outcomes() == std::vector<std::string>{"unknown", "rolled_back"});
  CHECK(faulty.ads() == "old");
  CHECK(faulty.ledger() == "1");
  CHECK(publish(faulty.warehouse, {{"new"}}).version == 2);
  CHECK(faulty.ads() == "new");
}

TEST_CASE("COMMIT of which nobody can find out whether it went through is not said to be rolled back") {
  Faulty faulty;
  faulty.warehouse.ask(
      "CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE _sluice_loads RENAME TO hidden; "
      "RETURN NULL; END $$; ALTER FUNCTION hide SET search_path = marketing; "
      "CREATE CONSTRAINT TRIGGER hide AFTER UPDATE ON _sluice_progress DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
      "EXECUTE FUNCTION hide()");
  faulty.proxy.make(TcpProxy::Trouble::swallow_reply, commit);
  try {
    publish(faulty.warehouse, {{"new"}});
    FAIL("the lost reply was not noticed");
  } catch (const Error& error) {
    CHECK(error.passing());
    CHECK_THAT(error.what(), Catch::Contains("cannot be asked whether it went through"));
  }
  CHECK(faulty.outcomes() == std::vector<std::string>{"unknown"});
  CHECK(faulty.ads() == "new");
}

TEST_CASE("the connection breaks before COMMIT: rolled back, no doubt about it") {
  Faulty faulty;
  const auto* word = GENERATE("_sluice_progress\" SET", "COPY pg_temp", "UPDATE \"marketing\".\"insights\"");
  faulty.proxy.make(TcpProxy::Trouble::swallow_request, word);
  try {
    publish(faulty.warehouse, {{"new"}});
    FAIL("the lost connection was not noticed");
  } catch (const Error& error) {
    CHECK(error.passing());
    CHECK_THAT(error.what(), Catch::Contains("table insights, slice act_1/2026-03-01"));
  }
  CHECK(faulty.outcomes() == std::vector<std::string>{"rolled_back"});
  CHECK(faulty.ads() == "old");
  CHECK(publish(faulty.warehouse, {{"new"}}).version == 2);
}

TEST_CASE("a server that stops answering is given up in time") {
  Faulty faulty;
  faulty.warehouse.reconnect();
  faulty.warehouse.options.statement_timeout = 1s;
  faulty.warehouse.options.answer_grace = 100ms;
  faulty.proxy.make(TcpProxy::Trouble::stall, "COPY pg_temp");
  const auto begun = std::chrono::steady_clock::now();
  CHECK_THROWS_WITH(publish(faulty.warehouse, {{"new"}}), Catch::Contains("in time"));
  CHECK(std::chrono::steady_clock::now() - begun < 10s);
  CHECK(faulty.ads() == "old");
}

TEST_CASE("a backend that is ended while the slice is staged or published loses nothing and doubles nothing") {
  Faulty faulty;
  auto& warehouse = faulty.warehouse;
  warehouse.reconnect();
  warehouse.options.memory_per_slice = GENERATE(std::size_t{0}, std::size_t{64} << 20);
  const auto* when = GENERATE("query LIKE 'COPY%'", "query LIKE 'UPDATE \"marketing\".\"insights\"%'",
                              "query LIKE '%COMMIT%'", "state = 'idle in transaction'");
  Terminator terminator(warehouse, when);
  std::optional<Published> published;
  std::string message;
  for (int round = 0; round < 20 && message.empty(); ++round) {
    try {
      published = publish(warehouse, many(20'000, std::to_string(round)));
    } catch (const Error& error) {
      CHECK(error.passing());
      message = error.what();
    }
  }
  terminator.wait();
  const auto versions = faulty.versions();
  CHECK(faulty.ledger() == versions);
  publish(warehouse, many(20'000, "777"));
  CHECK(warehouse.ask("SELECT count(*), count(DISTINCT ad_id), min(spend), max(spend) FROM insights") ==
        "20000|20000|777.0000|777.0000");
}

TEST_CASE("the server crashes while publishing and comes back: the slice is loaded once") {
  Faulty faulty;
  auto& cluster = PostgresCluster::instance();
  auto& warehouse = faulty.warehouse;
  std::thread crash([&] {
    std::this_thread::sleep_for(100ms);
    cluster.stop_immediately();
    std::this_thread::sleep_for(200ms);
    cluster.start();
  });
  int failures = 0;
  for (int round = 0; round < 200; ++round) {
    try {
      publish(warehouse, many(5'000, std::to_string(round)));
      if (failures > 0) break;
    } catch (const Error& error) {
      INFO(error.what());
      CHECK(error.passing());
      ++failures;
      std::this_thread::sleep_for(50ms);
    }
  }
  crash.join();
  CHECK(failures > 0);
  publish(warehouse, many(5'000, "5"));
  CHECK(warehouse.ask("SELECT count(*), min(spend), max(spend) FROM insights") == "5000|5.0000|5.0000");
  CHECK(faulty.ledger() == faulty.versions());
}

TEST_CASE("two processes on one lane: one publishes, the other is told and writes nothing") {
  Faulty faulty;
  auto& warehouse = faulty.warehouse;
  Warehouse other(faulty.database);
  const auto hold = [&]() -> task<void> {
    auto first = co_await warehouse.sink().open(ads_table(), live(), march(1), "run-a", warehouse.clock.now());
    auto second = co_await warehouse.sink().open(ads_table(), live(), march(1), "run-b", warehouse.clock.now());
    auto a = insights_batch({{"a"}}), b = insights_batch({{"b"}});
    co_await first->stage(a);
    co_await second->stage(b);
    Publication publication;
    publication.expected_version = 1;
    publication.read = 1;
    int published = 0, refused = 0;
    const auto attempt = [&](Load& load) -> task<void> {
      try {
        co_await load.publish(publication);
        ++published;
      } catch (const Error& error) {
        refused += !error.passing();
      }
    };
    TaskGroup group(warehouse.io.get_executor());
    group.spawn(attempt(*first));
    group.spawn(attempt(*second));
    co_await group.join();
    CHECK(published == 1);
    CHECK(refused == 1);
  };
  warehouse.run(hold());
  CHECK(faulty.versions() == "2");
  CHECK(faulty.ads().size() == 1);
}

TEST_CASE("a full disk is a passing failure that says so") {
  Faulty faulty;
  faulty.warehouse.ask(
      "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend "
      "file' USING "
      "ERRCODE = '53100'; END $$; CREATE TRIGGER full_disk BEFORE INSERT ON insights EXECUTE FUNCTION full_disk()");
  try {
    publish(faulty.warehouse, {{"new"}});
    FAIL("the trigger did not fire");
  } catch (const Error& error) {
    CHECK(error.passing());
    CHECK_THAT(error.what(), Catch::Contains("disk is full"));
  }
  faulty.warehouse.ask("DROP TRIGGER full_disk ON insights");
  CHECK(publish(faulty.warehouse, {{"new"}}).counts.inserted == 1);
}

TEST_CASE("an error at COMMIT itself rolls everything back") {
  Faulty faulty;
  faulty.warehouse.ask(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE "
      "= '40001'; "
      "END $$; CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON _sluice_loads DEFERRABLE INITIALLY DEFERRED FOR EACH "
      "ROW EXECUTE "
      "FUNCTION refuse()");
  CHECK_THROWS_WITH(publish(faulty.warehouse, {{"new"}}), Catch::Contains("not today"));
  CHECK(faulty.outcomes() == std::vector<std::string>{"rolled_back"});
  CHECK(faulty.ads() == "old");
}

TEST_CASE("a server that only reads is a passing failure: a failover is under way") {
  Faulty faulty;
  faulty.warehouse.psql("ALTER DATABASE " + faulty.database + " SET default_transaction_read_only = on");
  faulty.warehouse.reconnect();
  try {
    publish(faulty.warehouse, {{"new"}});
    FAIL("the sink wrote into a replica");
  } catch (const Error& error) {
    CHECK(error.passing());
    CHECK_THAT(error.what(), Catch::Contains("read-only"));
  }
}

TEST_CASE("a process that is killed while it copies leaves nothing behind", "[fork]") {
  Faulty faulty;
  const int microseconds = GENERATE(5'000, 20'000, 40'000, 80'000);
  const auto child = ::fork();
  if (child == 0) {
    // A fresh loop: nothing of the parent's sessions is touched.
    Warehouse own(faulty.database);
    for (int round = 0;; ++round) {
      Publish what;
      what.run = "child-" + std::to_string(round);
      publish(own, what, many(20'000, std::to_string(round + 1)));
    }
  }
  ::usleep(static_cast<useconds_t>(microseconds) + 100'000);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  auto& warehouse = faulty.warehouse;
  publish(warehouse, many(20'000, "777"));
  CHECK(warehouse.ask("SELECT count(*), min(spend), max(spend) FROM insights") == "20000|777.0000|777.0000");
  CHECK(faulty.ledger() == faulty.versions());
  CHECK(warehouse.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0");
}

TEST_CASE("a cancelled publish closes its session and the sink goes on") {
  Faulty faulty;
  auto& warehouse = faulty.warehouse;
  const auto blocked = [&]() -> task<void> {
    pg::Target target;
    target.who = "test";
    target.url = Secret(warehouse.cluster().url(faulty.database));
    const auto session = co_await pg::Connection::open(target, warehouse.clock);
    co_await session->exec("BEGIN");
    co_await session->exec("LOCK TABLE marketing.insights");
    std::vector<Batch> batches;
    batches.push_back(insights_batch({{"new"}}));
    auto work = publish_batches(warehouse, Publish(), std::move(batches));
    const auto result = co_await with_timeout(warehouse.clock, 300ms, std::move(work));
    CHECK_FALSE(result.has_value());
    co_await session->exec("ROLLBACK");
  };
  warehouse.run(blocked());
  CHECK(faulty.ads() == "old");
  CHECK(publish(warehouse, {{"new"}}).counts.inserted == 1);
}
