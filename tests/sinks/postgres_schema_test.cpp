#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "db/postgres.hpp"
#include "tests/sinks/postgres_fixture.hpp"

using namespace sluice;
using namespace sluice::test;

TEST_CASE(
    "prepare makes the schema, the table with key and comments, and the bookkeeping; a second time it does nothing") {
  Prepared warehouse;
  CHECK(warehouse.changes.empty());
  CHECK(warehouse.ask("SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attrelid = "
                      "'insights'::regclass AND attnum > 0 ORDER BY attnum") ==
        "account_id|text|t\ndate_start|date|t\nad_id|text|t\nspend|numeric(18,4)|f\nclicks|bigint|f\nactions|jsonb|f\n"
        "_sluice_run|text|t\n_sluice_slice|text|t\n_sluice_loaded_at|timestamp with time zone|t");
  CHECK(warehouse.ask("SELECT obj_description('insights'::regclass)") == "ads by day");
  CHECK(warehouse.ask("SELECT col_description('insights'::regclass, 2)") == "the day in the account's zone");
  CHECK(warehouse.ask(
            "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'marketing'") ==
        "_sluice_loads _sluice_progress _sluice_quarantine insights");
  CHECK(warehouse.run(warehouse.sink().plan(ads_table())).empty());
}

TEST_CASE("plan says the DDL and touches nothing") {
  Warehouse warehouse;
  const auto statements = warehouse.run(warehouse.sink().plan(ads_table()));
  REQUIRE_FALSE(statements.empty());
  CHECK(statements.front() == "CREATE SCHEMA IF NOT EXISTS \"marketing\"");
  CHECK(warehouse.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'marketing'") == "0");
  CHECK(warehouse.run(warehouse.sink().progress(live(), "insights", "")).version == 0);
  CHECK(warehouse.run(warehouse.sink().count_quarantined("ads", "insights")) == 0);
}

TEST_CASE("columns are added and widened, existing values keep their meaning") {
  Prepared warehouse;
  publish(warehouse, {{"a", "1.5", 5}});
  auto table = ads_table();
  table.columns.emplace_back("reach", Type::int64, 4, "people");
  table.columns[3].type = Type::text;
  table.columns[4].type = DataType(Type::decimal, 10, 2);
  const auto changes = warehouse.run(warehouse.sink().prepare(table));
  CHECK(changes ==
        std::map<std::string, std::string>{{"reach", "column_added"}, {"spend", "widened"}, {"clicks", "widened"}});
  CHECK(warehouse.ask("SELECT spend, clicks, reach IS NULL, pg_typeof(clicks) FROM insights") == "1.5|5.00|t|numeric");
  Publish what;
  what.table = table;
  CHECK(publish(warehouse, what, {{"a", "many", 5}}).counts.updated == 1);
  CHECK(warehouse.ask("SELECT spend, clicks, reach FROM insights") == "many|5.00|5");
  CHECK(warehouse.run(warehouse.sink().prepare(ads_table())).empty());
}

TEST_CASE("a view on the column forbids widening: the column stays, the rest goes on, and misfits are set aside") {
  Prepared warehouse;
  publish(warehouse, {{"a"}});
  warehouse.ask("CREATE VIEW report AS SELECT spend FROM insights");
  auto table = ads_table();
  table.columns[3].type = Type::text;
  table.columns.emplace_back("reach", Type::int64, 4);
  const auto changes = warehouse.run(warehouse.sink().prepare(table));
  CHECK(changes == std::map<std::string, std::string>{{"reach", "column_added"}, {"spend", "refused"}});
  REQUIRE(warehouse.events.of<Notice>().size() == 1);
  CHECK_THAT(warehouse.events.of<Notice>()[0].message, Catch::Contains("spend") && Catch::Contains("view"));
  Publish what;
  what.table = table;
  const auto counts = publish(warehouse, what, {{"a", "2"}, {"b", "many"}}).counts;
  CHECK(counts.updated == 1);
  CHECK(counts.quarantined == 1);
}

TEST_CASE("a full disk while a column is widened is no refusal: the run fails and is tried again") {
  Prepared warehouse;
  warehouse.psql(
      "CREATE FUNCTION full_disk() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space' USING "
      "ERRCODE = '53100'; END $$; CREATE EVENT TRIGGER full_disk ON ddl_command_start WHEN TAG IN ('ALTER TABLE') "
      "EXECUTE FUNCTION full_disk()");
  auto table = ads_table();
  table.columns[3].type = Type::text;
  CHECK_THROWS_WITH(warehouse.run(warehouse.sink().prepare(table)), Catch::Contains("disk is full"));
  warehouse.psql("DROP EVENT TRIGGER full_disk");
  CHECK(warehouse.run(warehouse.sink().prepare(table)) == std::map<std::string, std::string>{{"spend", "widened"}});
}

TEST_CASE("a table that somebody else locks gives up after five seconds with a passing error", "[slow]") {
  Prepared warehouse;
  const auto holder = [&]() -> task<void> {
    pg::Target target;
    target.who = "test";
    target.url = warehouse.options.url;
    const auto session = co_await pg::Connection::open(target, warehouse.clock);
    co_await session->exec("BEGIN");
    co_await session->exec("LOCK TABLE marketing.insights IN ACCESS SHARE MODE");
    auto table = ads_table();
    table.columns.emplace_back("reach", Type::int64, 4);
    co_await warehouse.sink().prepare(table);
  };
  try {
    warehouse.run(holder());
    FAIL("prepare did not notice the lock");
  } catch (const Error& error) {
    CHECK(error.passing());
    CHECK_THAT(error.what(), Catch::Contains("table insights") && Catch::Contains("lock"));
  }
}

TEST_CASE("a changed key is refused") {
  Prepared warehouse;
  auto table = ads_table();
  table.key = {"account_id", "ad_id"};
  CHECK_THROWS_WITH(warehouse.run(warehouse.sink().prepare(table)), Catch::Contains("`table:`"));
}

TEST_CASE("a view in the place of the table is refused") {
  Warehouse warehouse;
  warehouse.psql("CREATE SCHEMA marketing; CREATE VIEW marketing.insights AS SELECT 1 AS x");
  CHECK_THROWS_WITH(warehouse.run(warehouse.sink().prepare(ads_table())), Catch::Contains("not a table"));
}

TEST_CASE("partitions are made for the days that come, and a default one takes what has none") {
  auto table = ads_table();
  table.partition_by = PartitionBy{PartitionBy::Unit::month, "date_start"};
  table.indexes = {{"ad_id", "date_start"}};
  Prepared warehouse(table);
  Publish what;
  what.table = table;
  what.slice = Slice::days(Partition("act_1"), Day(2026, 3, 1), Day(2026, 5, 1));
  CHECK(publish(warehouse, what, {{"a"}, {"b", "1", 1, "", 35}}).counts.inserted == 2);
  CHECK(publish(warehouse, what, {{"a", "2"}, {"b", "1", 1, "", 35}}).counts.updated == 1);
  CHECK(warehouse.ask("SELECT tableoid::regclass, date_start FROM insights ORDER BY 2") ==
        "insights_2026_03|2026-03-01\ninsights_2026_04|2026-04-04");
  CHECK(warehouse.ask("SELECT count(*) FROM pg_indexes WHERE tablename = 'insights_2026_04'") == "2");
  CHECK(warehouse.run(warehouse.sink().plan(table)).empty());

  SECTION("rows that the default partition holds already do not stop the slice") {
    warehouse.ask("INSERT INTO insights_default SELECT 'act_1', '2026-06-01', 'x', 1, 1, NULL, 'r', 's', now()");
    what.slice = Slice::days(Partition("act_1"), Day(2026, 6, 2), Day(2026, 6, 3));
    CHECK(publish(warehouse, what, {{"a", "1", 1, "", 94}}).counts.inserted == 1);
    CHECK(warehouse.ask("SELECT tableoid::regclass FROM insights WHERE date_start = '2026-06-02'") ==
          "insights_default");
    REQUIRE_FALSE(warehouse.events.of<Notice>().empty());
    CHECK_THAT(warehouse.events.of<Notice>()[0].message, Catch::Contains("insights_2026_06"));
  }
}

TEST_CASE("roles that are granted may read the tables") {
  Warehouse warehouse;
  const std::string role = "analyst of " + warehouse.database();
  warehouse.psql("CREATE ROLE \"" + role + "\"");
  warehouse.options.grant = {role};
  warehouse.run(warehouse.sink().prepare(ads_table()));
  CHECK(warehouse.psql("SET ROLE \"" + role + "\"; SELECT count(*) FROM marketing.insights") == "0");
  CHECK_THROWS(warehouse.psql("SET ROLE \"" + role + "\"; DELETE FROM marketing.insights"));
}

TEST_CASE("check names the granted roles that do not exist") {
  Warehouse warehouse;
  const auto faults = [&] {
    std::vector<std::string> messages;
    for (const auto& finding : warehouse.run(warehouse.sink().check({})))
      if (finding.level == Finding::Level::error) messages.push_back(finding.message);
    return messages;
  };
  warehouse.options.grant = {"postgres", "no such analyst"};
  REQUIRE(faults().size() == 1);
  CHECK_THAT(faults()[0], Catch::Contains("there is no role no such analyst"));
  CHECK_THROWS(warehouse.run(warehouse.sink().prepare(ads_table())));
}

TEST_CASE("check tells what is missing and what is doubtful") {
  Warehouse warehouse;
  SECTION("as a superuser") {
    const auto findings = warehouse.run(warehouse.sink().check({}));
    REQUIRE(findings.size() == 2);
    CHECK(findings[0].level == Finding::Level::ok);
    CHECK_THAT(findings[1].message, Catch::Contains("superuser"));
  }
  SECTION("as a role without rights") {
    const auto role = "weak_" + warehouse.database();
    warehouse.psql("CREATE ROLE " + role + " LOGIN; REVOKE ALL ON DATABASE " + warehouse.database() +
                   " FROM PUBLIC; GRANT CONNECT ON DATABASE " + warehouse.database() + " TO " + role);
    warehouse.options.url = Secret("user=" + role + " host=" + warehouse.cluster().folder() + " port=" +
                                   std::to_string(warehouse.cluster().port()) + " dbname=" + warehouse.database());
    const auto findings = warehouse.run(warehouse.sink().check({}));
    REQUIRE(findings.size() == 3);
    CHECK_THAT(findings[1].message, Catch::Contains("may not create it"));
    CHECK_THAT(findings[2].message, Catch::Contains("GRANT TEMPORARY"));
  }
  SECTION("where nobody answers") {
    warehouse.options.url = Secret("host=" + warehouse.cluster().folder() + " port=1 dbname=x");
    const auto findings = warehouse.run(warehouse.sink().check({}));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].level == Finding::Level::error);
    CHECK_FALSE(warehouse.events.of<SinkState>().at(0).up);
  }
}
