#include "db/sqlite.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "core/error.hpp"
#include "tests/support/folder.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using sqlite::Access;
using sqlite::Database;
using sqlite::Transaction;
using test::Folder;

namespace {

template <typename F>
Error error_of(F call) {
  try {
    call();
  } catch (const Error& e) {
    return e;
  }
  throw std::logic_error("no error came");
}

std::string numbers(int count) {
  return "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT " + std::to_string(count) +
         ") ";
}

}  // namespace

TEST_CASE("values come back as they were bound") {
  const Folder folder;
  Database database(folder / "a.db");
  database.exec("CREATE TABLE t(i, r, s, b, n)");
  auto insert = database.prepare("INSERT INTO t VALUES (?,?,?,?,?)", true);
  insert.bind(1, std::numeric_limits<std::int64_t>::min());
  insert.bind(2, 0.1);
  insert.bind(3, "caf\u00e9");
  insert.bind_blob_view(4, std::string_view("\0\xff", 2));
  insert.bind_null(5);
  insert.run();
  CHECK(database.changes() == 1);
  auto select = database.prepare("SELECT i, r, s, b, n FROM t");
  REQUIRE(select.step());
  CHECK(select.columns() == 5);
  CHECK(select.integer(0) == std::numeric_limits<std::int64_t>::min());
  CHECK(select.real(1) == 0.1);
  CHECK(select.text(2) == "caf\u00e9");
  CHECK(select.text(3) == std::string_view("\0\xff", 2));
  CHECK(select.is_null(4));
  CHECK_FALSE(select.maybe_text(4));
  CHECK_FALSE(select.step());
}

TEST_CASE("an empty text is not NULL") {
  const Folder folder;
  Database database(folder / "a.db");
  CHECK(database.number("SELECT ? = ''", std::string_view()) == 1);
}

TEST_CASE("a transaction that is not committed leaves nothing") {
  const Folder folder;
  Database database(folder / "a.db");
  database.exec("CREATE TABLE t(i)");
  {
    Transaction lost(database);
    database.run("INSERT INTO t VALUES (?)", 1);
  }
  {
    Transaction kept(database);
    database.run("INSERT INTO t VALUES (?)", 2);
    kept.commit();
  }
  CHECK(database.number("SELECT sum(i) FROM t") == 2);
  CHECK_FALSE(database.in_transaction());
}

TEST_CASE("commits are flushed to the disk and readers are not blocked by a writer") {
  const Folder folder;
  Database writer(folder / "a.db");
  CHECK(writer.number("SELECT 1 FROM pragma_journal_mode WHERE journal_mode = 'wal'") == 1);
  CHECK(writer.number("PRAGMA synchronous") == 2);
  writer.exec("CREATE TABLE t(i)");
  Database reader(folder / "a.db", Access::read_only);
  Transaction open(writer);
  writer.run("INSERT INTO t VALUES (1)");
  CHECK(reader.number("SELECT count(*) FROM t") == 0);
  open.commit();
  CHECK(reader.number("SELECT count(*) FROM t") == 1);
}

TEST_CASE("a lock that another connection holds is a passing cause") {
  const Folder folder;
  Database first(folder / "a.db");
  Database second(folder / "a.db", Access::read_write, 20ms);
  const Transaction held(first);
  const auto error = error_of([&] { Transaction refused(second); });
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("a.db") && Catch::Contains("another process holds"));
}

TEST_CASE("a missing folder, a file that is no database and a read-only file are for a person to mend") {
  const Folder folder;
  const auto missing = error_of([&] { Database database(folder / "no/such/a.db"); });
  CHECK(missing.remedy() == Remedy::give_up);
  CHECK_THAT(missing.what(), Catch::Contains("no/such/a.db") && Catch::Contains("folder exists"));

  std::ofstream(folder / "text.db") << std::string(4096, 'x');
  const auto garbage = error_of([&] { Database database(folder / "text.db"); });
  CHECK(garbage.remedy() == Remedy::give_up);
  CHECK_THAT(garbage.what(), Catch::Contains("not an SQLite database"));

  Database(folder / "a.db").exec("CREATE TABLE t(i)");
  Database reader(folder / "a.db", Access::read_only);
  const auto read_only = error_of([&] { reader.exec("INSERT INTO t VALUES (1)"); });
  CHECK(read_only.remedy() == Remedy::give_up);
  CHECK_THAT(read_only.what(), Catch::Contains("right to write"));
}

TEST_CASE("a damaged file is named and never retried") {
  const Folder folder;
  {
    Database database(folder / "a.db");
    database.exec("CREATE TABLE t(i);" + numbers(20000) + " INSERT INTO t SELECT n FROM numbers");
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  std::fstream file(folder / "a.db", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(40000, '\xee');
  file.close();
  Database database(folder / "a.db");
  const auto error = error_of([&] { database.number("SELECT sum(i) FROM t"); });
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("damaged"));
}

TEST_CASE("a full file is rolled back, explained, and works again when there is space") {
  const Folder folder;
  Database database(folder / "a.db");
  database.exec("CREATE TABLE t(s); INSERT INTO t VALUES ('kept')");
  database.exec("PRAGMA max_page_count = 20");
  const auto fill = [&] {
    Transaction transaction(database);
    for (int i = 0; i < 200; ++i) database.run("INSERT INTO t VALUES (?)", std::string(1000, 'x'));
    transaction.commit();
  };
  const auto error = error_of(fill);
  CHECK(error.remedy() == Remedy::retry);
  CHECK_THAT(error.what(), Catch::Contains("a.db") && Catch::Contains("full") && Catch::Contains("free space"));
  CHECK(database.number("SELECT count(*) FROM t") == 1);
  database.exec("PRAGMA max_page_count = 1000000");
  fill();
  CHECK(database.number("SELECT count(*) FROM t") == 201);
}

// In a child, since the limit holds for the whole process. https://sqlite.org/rescode.html#ioerr_write
TEST_CASE("a write that the system refuses is rolled back and a passing cause") {
  const Folder folder;
  const auto path = folder / "a.db";
  Database(path).exec("CREATE TABLE t(s); INSERT INTO t VALUES ('kept')");
  const auto child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{200'000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    int verdict = 1;
    try {
      Database database(path);
      Transaction transaction(database);
      database.exec(numbers(5000) + "INSERT INTO t SELECT zeroblob(1000) FROM numbers");
      transaction.commit();
    } catch (const Error& e) {
      verdict = e.remedy() == Remedy::retry && std::string(e.what()).find("free space") != std::string::npos ? 0 : 2;
    }
    _exit(verdict);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  Database database(path);
  CHECK(database.number("SELECT count(*) FROM t") == 1);
  CHECK(database.number("SELECT 1 FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
}

TEST_CASE("a broken rule of the table is not retried") {
  const Folder folder;
  Database database(folder / "a.db");
  database.exec("CREATE TABLE t(i PRIMARY KEY)");
  database.run("INSERT INTO t VALUES (1)");
  CHECK(error_of([&] { database.run("INSERT INTO t VALUES (1)"); }).remedy() == Remedy::give_up);
}

TEST_CASE("URLs name files") {
  CHECK(sqlite::path_of_url("sqlite:///var/lib/a.db") == "/var/lib/a.db");
  CHECK(sqlite::path_of_url("sqlite://./a.db") == "./a.db");
  CHECK(sqlite::path_of_url("sqlite://../a.db") == "../a.db");
  for (const auto* bad : {"sqlite://", "sqlite:///", "sqlite://a.db", "/var/a.db", "postgres://x/y", ""})
    CHECK_THROWS_WITH(sqlite::path_of_url(bad), Catch::Contains("sqlite:///absolute/path.db"));
}

TEST_CASE("literals are quoted whatever they hold") {
  CHECK(sqlite::literal("it's") == "'it''s'");
}
