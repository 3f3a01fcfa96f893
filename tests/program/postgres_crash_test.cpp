#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>

#include "tests/program/postgres_setup.hpp"

using namespace sluice;
using namespace sluice::test;
using Catch::Contains;
using Trouble = TcpProxy::Trouble;

namespace {

// What the tables are when nothing goes wrong.
const std::string& calm_tables() {
  static const std::string tables = [] {
    SandboxProgram api(today_frozen());
    PostgresSetup setup(api.url());
    auto run = setup.start({"run", "facebook"});
    INFO(run.err());
    REQUIRE(run.wait() == 0);
    setup.check_books();
    return setup.tables();
  }();
  return tables;
}

}  // namespace

TEST_CASE("killed at a step of loading into PostgreSQL and started again, the tables are those of a calm run") {
  const auto [trouble, word] = GENERATE(table<Trouble, std::string>({{Trouble::stall, "CREATE TABLE"},
                                                                     {Trouble::stall, "COPY"},
                                                                     {Trouble::stall, "_sluice_progress"},
                                                                     {Trouble::stall, "COMMIT"},
                                                                     {Trouble::swallow_reply, "COMMIT"}}));
  INFO(word);
  SandboxProgram api(today_frozen());
  PostgresSetup setup(api.url());
  setup.proxy.make(trouble, word);
  auto killed = setup.start({"run", "facebook"});
  wait_until("the step at which it is killed", [&] { return setup.proxy.made() == 1; });
  killed.signal(SIGKILL);
  CHECK(killed.wait() == 128 + SIGKILL);
  auto again = setup.start({"run", "facebook"});
  CHECK(again.wait() == 0);
  INFO(again.err());
  CHECK(setup.tables() == calm_tables());
  setup.check_books();
}

TEST_CASE("killed while it waits for the API with half of the slices loaded, it goes on where it was") {
  auto arguments = today_frozen();
  arguments.insert(arguments.end(), {"--fault", "hang@insights%20#1"});
  SandboxProgram api(arguments);
  PostgresSetup setup(api.url());
  auto killed = setup.start({"run", "facebook"});
  wait_until("a request that is not answered", [&] { return api.struck("hang") == 1; });
  killed.signal(SIGKILL);
  killed.wait();
  auto again = setup.start({"run", "facebook"});
  CHECK(again.wait() == 0);
  CHECK(setup.tables() == calm_tables());
  setup.check_books();
}

TEST_CASE("a reply to COMMIT that is lost is found out about: no row is lost or doubled, nothing fails") {
  SandboxProgram api(today_frozen());
  PostgresSetup setup(api.url());
  setup.proxy.make(Trouble::swallow_reply, "COMMIT");
  auto run = setup.start({"run", "facebook"});
  CHECK(run.wait() == 0);
  INFO(run.err());
  CHECK(setup.proxy.made() == 1);
  CHECK(setup.tables() == calm_tables());
  setup.check_books();
}

TEST_CASE("a backend that is ended while it publishes costs nothing") {
  SandboxProgram api(today_frozen());
  PostgresSetup setup(api.url());
  REQUIRE(setup.start({"run", "facebook", "--stream", "campaigns"}).wait() == 0);
  auto held = std::make_optional<Held>(setup, "_sluice_progress");
  auto run = setup.start({"run", "facebook"});
  const std::string waits = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
  wait_until("a session that waits for the lock", [&] { return setup.ask("SELECT count(*) " + waits) != "0"; });
  SECTION("by an administrator") {
    CHECK(setup.ask("SELECT bool_and(pg_terminate_backend(pid)) " + waits) == "t");
    held.reset();
    CHECK(run.wait() == 0);
  }
  SECTION("by the kernel, and all others with it") {
    ::kill(std::stoi(setup.ask("SELECT min(pid) " + waits)), SIGKILL);
    CHECK(run.wait() <= 1);  // the server may need longer than a slice is tried
    wait_until("the server to be back", [&] {
      try {
        return setup.ask("SELECT 1") == "1";
      } catch (const std::exception&) {
        return false;
      }
    });
    CHECK(setup.start({"run", "facebook"}).wait() == 0);
  }
  INFO(run.err());
  CHECK(setup.tables() == calm_tables());
  setup.check_books();
}

namespace {

// While it lives, the table's file is on a device on which no space is left. The table is empty.
class FullDisk {
 public:
  FullDisk(const PostgresSetup& setup, const std::string& table) {
    setup.ask("TRUNCATE " + table);
    file_ = PostgresSetup::cluster().folder() + "/data/" + setup.ask("SELECT pg_relation_filepath('" + table + "')");
    std::filesystem::rename(file_, file_ + ".kept");
    std::filesystem::create_symlink("/dev/full", file_);
  }
  ~FullDisk() { std::filesystem::rename(file_ + ".kept", file_); }

 private:
  std::string file_;
};

}  // namespace

TEST_CASE("a full disk is one clear message, other pipelines go on, and with space again so does this one") {
  SandboxProgram api(today_frozen());
  PostgresSetup setup(api.url());
  setup.other_api = api.url();
  setup.write(api.url());
  REQUIRE(setup.start({"run", "facebook"}).wait() == 0);
  {
    const FullDisk disk(setup, "meta_insights");
    auto run = setup.start({"run", "facebook", "other", "--full-refresh"});
    CHECK(run.wait() == 1);
    CHECK_THAT(run.err(), Contains("disk is full") && Contains("other succeeded"));
    CHECK(query(setup.other_warehouse, "SELECT count(*) > 0 FROM healthy_campaigns") == "1");
    setup.check_books();
  }
  CHECK(setup.start({"run", "facebook", "--full-refresh"}).wait() == 0);
  CHECK(setup.tables() == calm_tables());
  setup.check_books();
}
