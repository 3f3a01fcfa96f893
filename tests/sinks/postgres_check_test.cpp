#include <boost/asio/ip/tcp.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "daemon/child_process.hpp"
#include "tests/sinks/postgres_fixture.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

// What `check` says of these levels.
std::string said(Warehouse& warehouse, Finding::Level from, const std::vector<std::string>& tables = {}) {
  std::string all;
  for (const auto& finding : warehouse.run(warehouse.sink().check(tables)))
    if (finding.level >= from) all += finding.message + '\n';
  return all;
}
std::string errors(Warehouse& warehouse, const std::vector<std::string>& tables = {}) {
  return said(warehouse, Finding::Level::error, tables);
}

// Debian's PgBouncer before the test's server.
class PgBouncer {
 public:
  PgBouncer(const std::string& mode, int pool_size) : port_(unused_port()) {
    auto& cluster = Warehouse::cluster();
    const auto file = fmt::format("{}/pgbouncer_{}.ini", cluster.folder(), port_);
    std::ofstream(file + ".users") << "\"postgres\" \"\"\n";
    std::ofstream(file) << "[databases]\n* = host=" << cluster.folder() << " port=" << cluster.port()
                        << "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " << port_
                        << "\nunix_socket_dir =\nauth_type = trust\nauth_file = " << file << ".users"
                        << "\npool_mode = " << mode << "\ndefault_pool_size = " << pool_size << '\n';
    auto command = cluster.as_server_user({"/usr/sbin/pgbouncer", "-q", file});
    // It ends with our end of its input, as ChildProcess wants it.
    const std::vector<std::string> shell{"-c", "\"$@\" & read end; kill $!; wait", "sh"};
    command.insert(command.begin(), shell.begin(), shell.end());
    child_ = std::make_unique<ChildProcess>("/bin/sh", command);
    for (int tries = 0; !listens(); ++tries) {
      if (tries == 200) throw std::runtime_error("pgbouncer does not start");
      std::this_thread::sleep_for(20ms);
    }
  }
  std::string url(const std::string& database) const { return Warehouse::cluster().tcp_url(database, port_); }

 private:
  static int unused_port() {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    return acceptor.local_endpoint().port();
  }
  bool listens() const {
    asio::io_context io;
    asio::ip::tcp::socket socket(io);
    error_code fault;
    socket.connect({asio::ip::address_v4::loopback(), static_cast<unsigned short>(port_)}, fault);
    return !fault;
  }

  int port_;
  std::unique_ptr<ChildProcess> child_;
};

// The machine's clock, set wrong.
class WrongClock final : public Clock {
 public:
  WrongClock(Clock& right, Duration by) : right_(right), by_(by) {}
  Instant now() const override { return right_.now() + by_; }
  Duration uptime() const override { return right_.uptime(); }
  task<void> sleep_for(Duration d) override { return right_.sleep_for(d); }

 private:
  Clock& right_;
  Duration by_;
};

}  // namespace

TEST_CASE("check finds a proxy that pools by transaction, however many sessions it shares") {
  const int pool_size = GENERATE(1, 4);
  const PgBouncer bouncer("transaction", pool_size);
  const auto database = Warehouse::cluster().fresh_database();
  Warehouse warehouse(database, bouncer.url(database));
  CHECK_THAT(errors(warehouse), Contains("pools by transaction") && Contains("pool_mode = session"));
}

TEST_CASE("check has nothing against a proxy that pools by session, but that it gives too few of them") {
  const auto database = Warehouse::cluster().fresh_database();
  {
    const PgBouncer bouncer("session", 4);
    Warehouse warehouse(database, bouncer.url(database));
    CHECK(errors(warehouse).empty());
    CHECK_THAT(said(warehouse, Finding::Level::ok), Contains("a pooler stands before the server, and keeps sessions"));
  }
  const PgBouncer narrow("session", 1);
  Warehouse warehouse(database, narrow.url(database));
  warehouse.options.connect_timeout = 1s;
  CHECK_THAT(errors(warehouse), Contains("a second connection is not given within 1s"));
}

TEST_CASE("a missing privilege is named with the statement that grants it, and these suffice") {
  Prepared owner;
  publish(owner, {{"1"}});
  const auto role = "Loader " + owner.database();
  owner.psql(
      fmt::format("CREATE ROLE \"{0}\" LOGIN; REVOKE ALL ON DATABASE {1} FROM PUBLIC; GRANT CONNECT ON DATABASE "
                  "{1} TO \"{0}\"; ALTER TABLE marketing.insights OWNER TO \"{0}\"; REVOKE INSERT, DELETE ON "
                  "marketing.insights FROM \"{0}\"",
                  role, owner.database()));
  Warehouse weak(owner.database());
  weak.options.url = Secret(fmt::format("user='{}' host={} port={} dbname={}", role, owner.cluster().folder(),
                                        owner.cluster().port(), owner.database()));
  const auto missing = errors(weak, {"insights"});
  CHECK_THAT(missing,
             Contains("may not create tables in the schema marketing") && Contains("may not create temporary tables") &&
                 Contains("lacks INSERT, DELETE on the table \"marketing\".\"insights\"") &&
                 Contains("lacks SELECT, INSERT, UPDATE, DELETE on the table \"marketing\".\"_sluice_loads\""));
  std::istringstream lines(missing);
  for (std::string line; std::getline(lines, line);) owner.psql(line.substr(line.rfind(": GRANT ") + 2));
  CHECK(errors(weak, {"insights"}).empty());
  CHECK(publish(weak, {{"2"}}).counts.read == 1);
}

TEST_CASE("a table that belongs to somebody else is a warning: it can be filled, and not changed") {
  Prepared owner;
  const auto role = "guest_" + owner.database();
  owner.psql("CREATE ROLE " + role + " LOGIN; GRANT USAGE, CREATE ON SCHEMA marketing TO " + role +
             "; GRANT ALL ON ALL TABLES IN SCHEMA marketing TO " + role);
  Warehouse guest(owner.database());
  guest.options.url = Secret(fmt::format("user={} host={} port={} dbname={}", role, owner.cluster().folder(),
                                         owner.cluster().port(), owner.database()));
  const auto doubts = said(guest, Finding::Level::warning, {"insights"});
  CHECK(errors(guest, {"insights"}).empty());
  CHECK_THAT(doubts, Contains("the table \"marketing\".\"insights\" belongs to postgres") &&
                         Contains("ALTER TABLE \"marketing\".\"insights\" OWNER TO"));
}

TEST_CASE("check compares this machine's clock with the server's") {
  Warehouse warehouse;
  const auto findings_at = [&](Duration wrong) {
    WrongClock clock(warehouse.clock, wrong);
    const auto sink = make_postgres_sink(
        warehouse.options, SinkContext{"warehouse", warehouse.io.get_executor(), clock, warehouse.events});
    std::string all;
    for (const auto& finding : warehouse.run(sink->check({}))) all += finding.message + '\n';
    return all;
  };
  CHECK_THAT(findings_at(0s), !Contains("clock"));
  CHECK_THAT(findings_at(30s), !Contains("clock"));
  CHECK_THAT(findings_at(2h), Contains("ahead of the database server's: set both by NTP"));
  CHECK_THAT(findings_at(-2h), Contains("behind the database server's: set both by NTP"));
}

TEST_CASE("check warns of a server's certificate that is about to end") {
  Folder folder;
  Authority authority(folder.path().string());
  auto& cluster = Warehouse::cluster();
  const auto findings_of = [&](int days) {
    const auto issued = authority.issue("server", "DNS:localhost", -1, days);
    cluster.encrypt(issued.certificate, issued.key);
    Warehouse warehouse;
    warehouse.options.url =
        Secret(fmt::format("postgresql://postgres@localhost:{}/{}", cluster.port(), warehouse.database()));
    warehouse.options.ca_file = authority.ca_file();
    return said(warehouse, Finding::Level::warning);
  };
  CHECK_THAT(findings_of(60), !Contains("certificate"));
  CHECK_THAT(findings_of(10),
             Contains("the database server's certificate ends on") && Contains("days: have it renewed"));
  cluster.encrypt_no_more();
}
