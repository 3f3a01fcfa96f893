#include "db/postgres.hpp"

#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "tests/sinks/postgres_fixture.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

// A warehouse whose table is prepared, with memory for 4 MiB of rows per slice or for nothing at all.
struct Prepared : Warehouse {
  explicit Prepared(Table table = insights(), bool spill = false) {
    if (spill) options.memory_per_slice = 0;
    changes = run(sink().prepare(table));
  }
  std::string rows() const { return ask("SELECT ad_id, spend, clicks FROM insights ORDER BY 1, 2"); }
  std::map<std::string, std::string> changes;
};

Table campaigns() {
  Table table;
  table.name = "campaigns";
  table.columns.emplace_back("id", Type::text, 0);
  table.columns.emplace_back("name", Type::text, 1);
  table.columns.emplace_back("updated_time", Type::timestamp, 2);
  table.key = {"id"};
  table.cursor_column = "updated_time";
  table.cursor = Cursor::value;
  return table;
}

struct Campaign {
  std::string id, name;
  std::optional<int> updated;
};

Published publish_campaigns(Warehouse& warehouse, const std::vector<Campaign>& campaigns_read,
                            Table table = campaigns()) {
  Batch batch(3);
  for (const auto& campaign : campaigns_read) {
    batch.add_row();
    const auto id = batch.add_text(campaign.id), name = batch.add_text(campaign.name);
    auto row = batch.row(batch.rows() - 1);
    row[0] = id;
    row[1] = name;
    if (campaign.updated) row[2] = Cell::of(std::int64_t{*campaign.updated});
  }
  Publish what;
  what.table = std::move(table);
  what.lane = LaneId("ads", "campaigns", "", "live");
  what.slice = Slice::values(Partition(""), std::nullopt, "now");
  std::vector<Batch> batches;
  batches.push_back(std::move(batch));
  return warehouse.run(publish_batches(warehouse, std::move(what), std::move(batches)));
}

}  // namespace

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
  CHECK(warehouse.run(warehouse.sink().plan(insights())).empty());
}

TEST_CASE("plan says the DDL and touches nothing") {
  Warehouse warehouse;
  const auto statements = warehouse.run(warehouse.sink().plan(insights()));
  REQUIRE_FALSE(statements.empty());
  CHECK(statements.front() == "CREATE SCHEMA IF NOT EXISTS \"marketing\"");
  CHECK(warehouse.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'marketing'") == "0");
  CHECK(warehouse.run(warehouse.sink().progress(live(), "insights", "")).version == 0);
  CHECK(warehouse.run(warehouse.sink().count_quarantined("ads", "insights")) == 0);
}

TEST_CASE("a slice is inserted, then unchanged, then updated, and what vanished is deleted") {
  const bool spill = GENERATE(false, true);
  Prepared warehouse(insights(), spill);
  auto counts = publish(warehouse, {{"a"}, {"b", "2"}, {"c", "3"}}).counts;
  CHECK(counts.read == 3);
  CHECK(counts.inserted == 3);
  CHECK(counts.balanced());
  const auto stamp = warehouse.ask("SELECT max(_sluice_loaded_at) FROM insights");

  counts = publish(warehouse, {{"c", "3.0000"}, {"a"}, {"b", "2"}}).counts;
  CHECK(counts.unchanged == 3);
  CHECK(counts.updated + counts.inserted + counts.deleted == 0);
  CHECK(warehouse.ask("SELECT max(_sluice_loaded_at) FROM insights") == stamp);

  Publish second;
  second.run = "run-2";
  counts = publish(warehouse, second, {{"a"}, {"b", "2.25", 7}, {"d", "4"}}).counts;
  CHECK(counts.unchanged == 1);
  CHECK(counts.updated == 1);
  CHECK(counts.inserted == 1);
  CHECK(counts.deleted == 1);
  CHECK(warehouse.rows() == "a|1.5000|1\nb|2.2500|7\nd|4.0000|1");
  CHECK(warehouse.ask("SELECT ad_id, _sluice_run, _sluice_slice FROM insights ORDER BY 1") ==
        "a|run-1|act_1/2026-03-01\nb|run-2|act_1/2026-03-01\nd|run-2|act_1/2026-03-01");
}

TEST_CASE(
    "a window that brings the same rows again is not compared row by row, for a day, as long as nothing else touched "
    "it") {
  Prepared warehouse;
  const auto tamper = [&] { warehouse.ask("UPDATE insights SET clicks = 99"); };
  const auto clicks = [&] { return warehouse.ask("SELECT DISTINCT clicks FROM insights"); };
  publish(warehouse, {{"a"}, {"b"}});
  tamper();
  CHECK(publish(warehouse, {{"b"}, {"a"}}).counts.unchanged == 2);
  CHECK(clicks() == "99");

  SECTION("--full-refresh compares") {
    Publish what;
    what.compare_all = true;
    CHECK(publish(warehouse, what, {{"a"}, {"b"}}).counts.updated == 2);
  }
  SECTION("a day later it is compared again") {
    warehouse.ask("UPDATE _sluice_loads SET compared_at = compared_at - interval '25 hours'");
    CHECK(publish(warehouse, {{"a"}, {"b"}}).counts.updated == 2);
  }
  SECTION("one other value, or another number of rows, compares everything") {
    CHECK(publish(warehouse, {{"a"}, {"b", "2"}}).counts.updated == 2);
  }
  SECTION("a row that somebody deleted comes back") {
    warehouse.ask("DELETE FROM insights WHERE ad_id = 'a'");
    const auto counts = publish(warehouse, {{"a"}, {"b"}}).counts;
    CHECK(counts.inserted == 1);
    CHECK(counts.updated == 1);
  }
  SECTION("another slice that holds the day was published meanwhile") {
    Publish week;
    week.lane = live("act_1", "backfill");
    week.slice = Slice::days(Partition("act_1"), Day(2026, 3, 1), Day(2026, 3, 8));
    publish(warehouse, week, {{"a", "7"}, {"b", "7"}});
    CHECK(publish(warehouse, {{"a"}, {"b"}}).counts.updated == 2);
  }
  SECTION("a new column") {
    auto table = insights();
    table.columns.emplace_back("reach", Type::int64, 4);
    warehouse.run(warehouse.sink().prepare(table));
    Publish what;
    what.table = table;
    CHECK(publish(warehouse, what, {{"a"}, {"b"}}).counts.updated == 2);
    CHECK(warehouse.ask("SELECT DISTINCT reach FROM insights") == "1");
  }
  SECTION("a slice without some columns is never taken for the whole") {
    Publish what;
    what.without = {"spend"};
    CHECK(publish(warehouse, what, {{"a"}, {"b"}}).counts.updated == 2);
    tamper();
    CHECK(publish(warehouse, {{"a"}, {"b"}}).counts.updated == 2);
  }
}

TEST_CASE("deletion stays within the slice's partition and days") {
  Prepared warehouse;
  publish(warehouse, {{"a"}, {"b"}});
  Publish next_day;
  next_day.slice = march(2);
  publish(warehouse, next_day, {{"a", "1", 1, "", 2}});
  Publish other;
  other.lane = live("act_2");
  other.slice = march(1, "act_2");
  publish(warehouse, other, {{"a", "1", 1, "", 1, "act_2"}});
  CHECK(publish(warehouse, {{"a"}}).counts.deleted == 1);
  CHECK(warehouse.ask("SELECT account_id, date_start, ad_id FROM insights ORDER BY 1, 2, 3") ==
        "act_1|2026-03-01|a\nact_1|2026-03-02|a\nact_2|2026-03-01|a");
}

TEST_CASE("progress, ledger and quarantine are written with the rows") {
  Prepared warehouse;
  Publish what;
  what.done_to = "2026-03-01";
  what.filtered = 2;
  what.rejects = {Reject{R"(["act_1","2026-03-01","x"])", "spend: found text", "type", R"({"spend":"abc"})"}};
  const auto published = publish(warehouse, what, {{"a"}, {"a"}});
  CHECK(published.version == 1);
  const auto progress = warehouse.run(warehouse.sink().progress(live(), "insights", ""));
  CHECK(progress.version == 1);
  CHECK(progress.done_to == "2026-03-01");
  CHECK(warehouse.ask(
            "SELECT run, pipeline, stream, partition, slice, \"window\", read, inserted, updated, unchanged, deleted, "
            "duplicate, filtered, quarantined, complete FROM _sluice_loads") ==
        "run-1|ads|insights|act_1|act_1/2026-03-01|2026-03-01|5|1|0|0|0|1|2|1|t");
  CHECK(warehouse.run(warehouse.sink().count_quarantined("ads", "insights")) == 1);
  const auto rows = warehouse.run(warehouse.sink().quarantined("ads", "insights", {}, 10));
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].raw == R"({"spend":"abc"})");
  CHECK(rows[0].reason == "spend: found text");
  const auto lanes = warehouse.run(warehouse.sink().lanes("ads"));
  REQUIRE(lanes.size() == 1);
  CHECK(lanes[0].first == live());

  what.done_to.reset();
  what.rejects.clear();
  what.filtered = 0;
  publish(warehouse, what, {{"a"}});
  CHECK(warehouse.run(warehouse.sink().progress(live(), "insights", "")).done_to == "2026-03-01");
  CHECK(warehouse.run(warehouse.sink().count_quarantined("ads", "insights")) == 0);
}

TEST_CASE("a row that is rejected again keeps its id and the time it was first seen") {
  Prepared warehouse;
  Publish what;
  what.rejects = {Reject{"", "bad", "type", "{}"}, Reject{"", "bad", "type", "{}"}};
  publish(warehouse, what, {{"a"}});
  const auto before = warehouse.ask("SELECT id, first_seen FROM _sluice_quarantine ORDER BY 1");
  what.rejects.pop_back();
  publish(warehouse, what, {{"a"}});
  const auto after = warehouse.ask("SELECT id, first_seen FROM _sluice_quarantine ORDER BY 1");
  CHECK(before.find(after) != std::string::npos);
  CHECK(warehouse.ask("SELECT count(*), bool_and(last_seen > first_seen) FROM _sluice_quarantine") == "1|t");
}

TEST_CASE("a row whose key is in quarantine is not deleted, and an unreadable key suspends deletion") {
  Prepared warehouse;
  publish(warehouse, {{"a"}, {"b"}, {"c"}});
  Publish what;
  what.rejects = {Reject{R"(["act_1","2026-03-01","b"])", "bad", "type", "{}"}};
  CHECK(publish(warehouse, what, {{"a"}}).counts.deleted == 1);
  CHECK(warehouse.ask("SELECT string_agg(ad_id, ' ' ORDER BY ad_id) FROM insights") == "a b");
  what.rejects.push_back(Reject{"", "bad", "json", "{"});
  CHECK(publish(warehouse, what, {{"z"}}).counts.deleted == 0);
  CHECK(warehouse.ask("SELECT string_agg(ad_id, ' ' ORDER BY ad_id) FROM insights") == "a b z");
  REQUIRE(warehouse.events.of<Notice>().size() == 1);
  CHECK_THAT(warehouse.events.of<Notice>()[0].message, Catch::Contains("none is deleted"));
}

TEST_CASE("values that do not fit their column go to the quarantine with their key, the others go on") {
  Prepared warehouse;
  publish(warehouse, {{"a"}, {"b"}});
  const auto counts = publish(warehouse, {{"a", "2"}, {"b", "123456789012345678.9"}, {"c", "1", 1, "{broken"}}).counts;
  CHECK(counts.quarantined == 2);
  CHECK(counts.updated == 1);
  CHECK(warehouse.rows() == "a|2.0000|1\nb|1.5000|1");
  CHECK(
      warehouse.ask("SELECT key, rule, reason FROM _sluice_quarantine ORDER BY 1") ==
      "[\"act_1\",\"2026-03-01\",\"b\"]|type|column spend: the value is out of range; the column takes numeric(18,4)\n"
      "[\"act_1\",\"2026-03-01\",\"c\"]|json|column actions: the value is not valid JSON; the column takes jsonb");
  CHECK(warehouse.ask("SELECT raw::json ->> 'spend' FROM _sluice_quarantine WHERE rule = 'type'") ==
        "123456789012345678.9");
}

TEST_CASE("a slice with too many rejected rows fails as a whole and leaves no trace") {
  Prepared warehouse;
  publish(warehouse, {{"a"}});
  Publish what;
  what.rejects.assign(11, Reject{"", "spend is text", "type", "{}"});
  CHECK_THROWS_WITH(publish(warehouse, what, {{"b"}}), Catch::Contains("11 of 12") && Catch::Contains("spend is text"));
  CHECK(warehouse.rows() == "a|1.5000|1");
  CHECK(warehouse.run(warehouse.sink().progress(live(), "insights", "")).version == 1);
}

TEST_CASE("an empty answer for a window that has rows is confirmed before it is believed") {
  Prepared warehouse;
  CHECK(publish(warehouse, std::vector<Row>{}).outcome == Published::Outcome::published);
  publish(warehouse, {{"a"}});
  const auto version = warehouse.run(warehouse.sink().progress(live(), "insights", "")).version;
  CHECK(publish(warehouse, std::vector<Row>{}).outcome == Published::Outcome::confirm_empty);
  CHECK(warehouse.run(warehouse.sink().progress(live(), "insights", "")).version == version);
  CHECK(warehouse.rows() == "a|1.5000|1");
  Publish what;
  what.believe_empty = true;
  CHECK(publish(warehouse, what, {}).counts.deleted == 1);
  CHECK(warehouse.rows().empty());
}

TEST_CASE("an answer of which every row was filtered out is not an empty answer") {
  Prepared warehouse;
  publish(warehouse, {{"a"}});
  Publish what;
  what.filtered = 3;
  CHECK(publish(warehouse, what, {}).counts.deleted == 1);
}

TEST_CASE("duplicates of the same content are counted, in memory and in the stage") {
  const bool spill = GENERATE(false, true);
  Prepared warehouse(insights(), spill);
  std::vector<Batch> batches;
  batches.push_back(insights_batch({{"a", "1.5"}, {"b"}, {"a", "1.50"}}));
  batches.push_back(insights_batch({{"a", "1.5", 1, R"([ {"type": "click"} ])"}}));
  const auto published = warehouse.run(publish_batches(warehouse, Publish(), std::move(batches)));
  CHECK(published.counts.duplicate == 2);
  CHECK(published.counts.inserted == 2);
}

TEST_CASE("report rows of different contents under one key fail the slice and name the columns") {
  const bool spill = GENERATE(false, true);
  Prepared warehouse(insights(), spill);
  std::vector<Batch> batches;
  batches.push_back(insights_batch({{"a", "1.5"}, {"b"}}));
  batches.push_back(insights_batch({{"a", "2.5", 1, ""}}));
  CHECK_THROWS_WITH(warehouse.run(publish_batches(warehouse, Publish(), std::move(batches))),
                    Catch::Contains("differ in spend, actions") && Catch::Contains("(account_id, date_start, ad_id)") &&
                        !Catch::Contains("2.5"));
  CHECK(warehouse.rows().empty());
}

TEST_CASE("of two objects with one key the newer is kept, and the stored one is never made older") {
  const bool spill = GENERATE(false, true);
  Prepared warehouse(campaigns(), spill);
  const auto names = [&] { return warehouse.ask("SELECT id, name FROM campaigns ORDER BY 1"); };
  auto counts =
      publish_campaigns(warehouse,
                        {{"1", "new", 20}, {"1", "old", 10}, {"2", "tie", 5}, {"2", "last", 5}, {"3", "none", {}}})
          .counts;
  CHECK(counts.inserted == 3);
  CHECK(counts.duplicate == 2);
  CHECK(names() == "1|new\n2|last\n3|none");
  counts = publish_campaigns(warehouse, {{"1", "older", 15}, {"2", "newer", 6}, {"3", "dated", 1}, {"4", "first", 1}})
               .counts;
  CHECK(counts.unchanged == 1);
  CHECK(counts.updated == 2);
  CHECK(counts.inserted == 1);
  CHECK(names() == "1|new\n2|newer\n3|dated\n4|first");
  counts = publish_campaigns(warehouse, {{"2", "undated", {}}}).counts;
  CHECK(counts.unchanged == 1);
}

TEST_CASE("objects never disappear by absence") {
  Prepared warehouse(campaigns());
  publish_campaigns(warehouse, {{"1", "x", 1}, {"2", "y", 1}});
  publish_campaigns(warehouse, {{"1", "x", 2}});
  CHECK(publish_campaigns(warehouse, {}).outcome == Published::Outcome::published);
  CHECK(warehouse.ask("SELECT count(*) FROM campaigns") == "2");
}

TEST_CASE("columns that a slice does not have keep their values, and the ledger says that it is not complete") {
  Prepared warehouse;
  publish(warehouse, {{"a", "1.5", 5}});
  Publish what;
  what.without = {"spend", "actions"};
  const auto counts = publish(warehouse, what, {{"a", "", 6, ""}, {"b", "", 1, ""}}).counts;
  CHECK(counts.updated == 1);
  CHECK(counts.inserted == 1);
  CHECK(warehouse.rows() == "a|1.5000|6\nb||1");
  CHECK(warehouse.ask("SELECT complete FROM _sluice_loads ORDER BY committed_at DESC LIMIT 1") == "f");
}

TEST_CASE("a slice that was read earlier never overwrites one that was read later") {
  Prepared warehouse;
  const auto noon = warehouse.clock.now();
  Publish late, early, week;
  late.read_started = noon;
  early.read_started = noon - 1h;
  early.lane = live("act_1", "backfill-march");
  publish(warehouse, late, {{"a", "2"}});
  const auto published = publish(warehouse, early, {{"a", "1"}, {"ghost"}});
  CHECK(published.outcome == Published::Outcome::superseded);
  CHECK(published.version == 1);
  CHECK(warehouse.run(warehouse.sink().progress(early.lane, "insights", "")).version == 1);
  CHECK(warehouse.rows() == "a|2.0000|1");
  week = early;
  week.slice = Slice::days(Partition("act_1"), Day(2026, 3, 1), Day(2026, 3, 8));
  CHECK_THROWS_WITH(publish(warehouse, week, {{"a", "1"}}), Catch::Contains("read again"));
  week.read_started = noon + 1h;
  CHECK(publish(warehouse, week, {{"a", "3"}}).counts.updated == 1);
}

TEST_CASE("a lane whose version moved on belongs to another process: nothing is written") {
  Prepared warehouse;
  publish(warehouse, {{"a"}});
  Publish what;
  what.version = 0;
  CHECK_THROWS_WITH(publish(warehouse, what, {{"b"}}), Catch::Contains("another process has taken over ads/insights"));
  what.version = 7;
  CHECK_THROWS_WITH(publish(warehouse, what, {{"b"}}), Catch::Contains("another process"));
  CHECK(warehouse.rows() == "a|1.5000|1");
}

TEST_CASE("append adds, and a slice that is loaded again replaces its own rows") {
  auto table = insights();
  table.key.clear();
  table.mode = LoadMode::append;
  table.cursor = GENERATE(Cursor::date, Cursor::none);
  const bool spill = GENERATE(false, true);
  Prepared warehouse(table, spill);
  Publish what;
  what.table = table;
  CHECK(publish(warehouse, what, {{"a"}, {"a"}}).counts.inserted == 2);
  Publish second = what;
  second.slice = march(2);
  publish(warehouse, second, {{"z", "1", 1, "", 2}});
  const auto counts = publish(warehouse, what, {{"b"}, {"b"}, {"c"}}).counts;
  CHECK(counts.deleted == 2);
  CHECK(counts.inserted == 3);
  CHECK(warehouse.ask("SELECT string_agg(ad_id, ' ' ORDER BY ad_id) FROM insights") == "b b c z");
}

TEST_CASE("replace swaps the whole table in one step") {
  auto table = campaigns();
  table.mode = LoadMode::replace;
  table.cursor = Cursor::none;
  if (GENERATE(false, true)) table.key.clear();
  Prepared warehouse(table, GENERATE(false, true));
  publish_campaigns(warehouse, {{"1", "x", 1}, {"2", "y", 1}}, table);
  CHECK(publish_campaigns(warehouse, {}, table).outcome == Published::Outcome::confirm_empty);
  publish_campaigns(warehouse, {{"2", "y", 1}, {"3", "z", 1}}, table);
  CHECK(warehouse.ask("SELECT string_agg(id, ' ' ORDER BY id) FROM campaigns") == "2 3");
}

TEST_CASE("columns are added and widened, existing values keep their meaning") {
  Prepared warehouse;
  publish(warehouse, {{"a", "1.5", 5}});
  auto table = insights();
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
  CHECK(warehouse.run(warehouse.sink().prepare(insights())).empty());
}

TEST_CASE("a view on the column forbids widening: the column stays, the rest goes on, and misfits are set aside") {
  Prepared warehouse;
  publish(warehouse, {{"a"}});
  warehouse.ask("CREATE VIEW report AS SELECT spend FROM insights");
  auto table = insights();
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
  auto table = insights();
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
    auto table = insights();
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
  auto table = insights();
  table.key = {"account_id", "ad_id"};
  CHECK_THROWS_WITH(warehouse.run(warehouse.sink().prepare(table)), Catch::Contains("`table:`"));
}

TEST_CASE("a view in the place of the table is refused") {
  Warehouse warehouse;
  warehouse.psql("CREATE SCHEMA marketing; CREATE VIEW marketing.insights AS SELECT 1 AS x");
  CHECK_THROWS_WITH(warehouse.run(warehouse.sink().prepare(insights())), Catch::Contains("not a table"));
}

TEST_CASE("partitions are made for the days that come, and a default one takes what has none") {
  auto table = insights();
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
  warehouse.run(warehouse.sink().prepare(insights()));
  CHECK(warehouse.psql("SET ROLE \"" + role + "\"; SELECT count(*) FROM marketing.insights") == "0");
  CHECK_THROWS(warehouse.psql("SET ROLE \"" + role + "\"; DELETE FROM marketing.insights"));
}

TEST_CASE("check names the granted roles that do not exist") {
  Warehouse warehouse;
  const auto faults = [&] {
    std::vector<std::string> messages;
    for (const auto& finding : warehouse.run(warehouse.sink().check()))
      if (finding.level == Finding::Level::error) messages.push_back(finding.message);
    return messages;
  };
  warehouse.options.grant = {"postgres", "no such analyst"};
  REQUIRE(faults().size() == 1);
  CHECK_THAT(faults()[0], Catch::Contains("there is no role no such analyst"));
  CHECK_THROWS(warehouse.run(warehouse.sink().prepare(insights())));
}

TEST_CASE("json columns, which have no equality, are compared as text") {
  Warehouse warehouse;
  warehouse.psql(
      "CREATE SCHEMA marketing; CREATE TABLE marketing.insights (account_id text, date_start date, ad_id varchar(20), "
      "spend "
      "numeric, clicks int, actions json, PRIMARY KEY (account_id, date_start, ad_id))");
  const auto changes = warehouse.run(warehouse.sink().prepare(insights()));
  CHECK(changes.empty());
  publish(warehouse, {{"a"}, {"b"}});
  const auto counts = publish(warehouse, {{"a"}, {"b", "1.5", 1, "[]"}}).counts;
  CHECK(counts.unchanged == 1);
  CHECK(counts.updated == 1);
  CHECK(publish(warehouse, {{"a"}, {"b", "1.5", 3'000'000'000}}).counts.quarantined == 1);
}

TEST_CASE("text that no database can hold is repaired and counted") {
  Prepared warehouse;
  auto batch = insights_batch({{std::string("a\0b\xff", 4), "1", 1, R"({"x":"\u0000\ud800"})"}});
  const auto publish_it = [&]() -> task<void> {
    const auto load = co_await warehouse.sink().open(insights(), live(), march(1), "run-1", warehouse.clock.now());
    co_await load->stage(batch);
    Publication publication;
    publication.read = 1;
    co_await load->publish(publication);
  };
  warehouse.run(publish_it());
  CHECK(batch.repaired == 4);
  CHECK(warehouse.ask("SELECT ad_id, actions FROM insights") ==
        "a\xef\xbf\xbd"
        "b\xef\xbf\xbd|{\"x\": \"\xef\xbf\xbd\xef\xbf\xbd\"}");
}

TEST_CASE("a missing part of the key is stored as '' where it is text, and rejects the row where it is not") {
  Prepared warehouse;
  auto batch = insights_batch({{"a"}, {"b"}});
  batch.row(0)[2] = Cell::absent();
  batch.row(1)[1] = Cell();
  std::vector<Batch> batches;
  batches.push_back(std::move(batch));
  const auto counts = warehouse.run(publish_batches(warehouse, Publish(), std::move(batches))).counts;
  CHECK(counts.inserted == 1);
  CHECK(counts.quarantined == 1);
  CHECK(warehouse.ask("SELECT ad_id = '' FROM insights") == "t");
}

TEST_CASE("publishing says the transaction's outcome, and the sink is up") {
  Prepared warehouse;
  publish(warehouse, {{"a"}});
  const auto done = warehouse.events.of<TransactionDone>();
  REQUIRE(done.size() == 1);
  CHECK(done[0].outcome == "committed");
  CHECK(done[0].took > 0us);
  const auto states = warehouse.events.of<SinkState>();
  REQUIRE(states.size() == 1);
  CHECK(states[0].up);
}

TEST_CASE("a load that is dropped unpublished leaves nothing") {
  Prepared warehouse(insights(), GENERATE(false, true));
  const auto drop = [&]() -> task<void> {
    const auto load = co_await warehouse.sink().open(insights(), live(), march(1), "run-1", warehouse.clock.now());
    auto batch = insights_batch({{"a"}});
    co_await load->stage(batch);
  };
  warehouse.run(drop());
  CHECK(warehouse.rows().empty());
  CHECK(warehouse.ask("SELECT count(*) FROM _sluice_progress") == "0");
}

TEST_CASE("check tells what is missing and what is doubtful") {
  Warehouse warehouse;
  SECTION("as a superuser") {
    const auto findings = warehouse.run(warehouse.sink().check());
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
    const auto findings = warehouse.run(warehouse.sink().check());
    REQUIRE(findings.size() == 3);
    CHECK_THAT(findings[1].message, Catch::Contains("may not create it"));
    CHECK_THAT(findings[2].message, Catch::Contains("GRANT TEMPORARY"));
  }
  SECTION("where nobody answers") {
    warehouse.options.url = Secret("host=" + warehouse.cluster().folder() + " port=1 dbname=x");
    const auto findings = warehouse.run(warehouse.sink().check());
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].level == Finding::Level::error);
    CHECK_FALSE(warehouse.events.of<SinkState>().at(0).up);
  }
}
