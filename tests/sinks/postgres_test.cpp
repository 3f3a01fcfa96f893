#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "tests/sinks/postgres_fixture.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

namespace {

Table campaign_table() {
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
                            Table table = campaign_table()) {
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

TEST_CASE("a slice is inserted, then unchanged, then updated, and what vanished is deleted") {
  const bool spill = GENERATE(false, true);
  Prepared warehouse(ads_table(), spill);
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
  const bool spill = GENERATE(false, true);
  Prepared warehouse(ads_table(), spill);
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
  SECTION("a row that comes twice is told apart where memory holds both") {
    std::vector<Batch> batches;
    batches.push_back(insights_batch({{"a"}, {"b"}}));
    batches.push_back(insights_batch({{"a"}}));
    const auto counts = warehouse.run(publish_batches(warehouse, Publish(), std::move(batches))).counts;
    CHECK(counts.duplicate == 1);
    CHECK(counts.updated == (spill ? 2 : 0));
  }
  SECTION("another slice that holds the day was published meanwhile") {
    Publish week;
    week.lane = live("act_1", "backfill");
    week.slice = Slice::days(Partition("act_1"), Day(2026, 3, 1), Day(2026, 3, 8));
    publish(warehouse, week, {{"a", "7"}, {"b", "7"}});
    CHECK(publish(warehouse, {{"a"}, {"b"}}).counts.updated == 2);
  }
  SECTION("a new column") {
    auto table = ads_table();
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
  Prepared warehouse(ads_table(), spill);
  std::vector<Batch> batches;
  batches.push_back(insights_batch({{"a", "1.5"}, {"b"}, {"a", "1.50"}}));
  batches.push_back(insights_batch({{"a", "1.5", 1, R"([ {"type": "click"} ])"}}));
  const auto published = warehouse.run(publish_batches(warehouse, Publish(), std::move(batches)));
  CHECK(published.counts.duplicate == 2);
  CHECK(published.counts.inserted == 2);
}

TEST_CASE("report rows of different contents under one key fail the slice and name the columns") {
  const bool spill = GENERATE(false, true);
  Prepared warehouse(ads_table(), spill);
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
  Prepared warehouse(campaign_table(), spill);
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
  Prepared warehouse(campaign_table());
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
  auto table = ads_table();
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

  // The same rows again are not written again, however many they are.
  warehouse.ask("UPDATE insights SET clicks = 99");
  CHECK(publish(warehouse, what, {{"c"}, {"b"}, {"b"}}).counts.unchanged == 3);
  CHECK(warehouse.ask("SELECT DISTINCT clicks FROM insights") == "99");
  CHECK(publish(warehouse, what, {{"c"}, {"c"}, {"b"}}).counts.inserted == 3);
  CHECK(warehouse.ask("SELECT string_agg(ad_id, ' ' ORDER BY ad_id) FROM insights") == "b c c z");
}

TEST_CASE("replace swaps the whole table in one step") {
  auto table = campaign_table();
  table.mode = LoadMode::replace;
  table.cursor = Cursor::none;
  if (GENERATE(false, true)) table.key.clear();
  Prepared warehouse(table, GENERATE(false, true));
  publish_campaigns(warehouse, {{"1", "x", 1}, {"2", "y", 1}}, table);
  CHECK(publish_campaigns(warehouse, {}, table).outcome == Published::Outcome::confirm_empty);
  publish_campaigns(warehouse, {{"2", "y", 1}, {"3", "z", 1}}, table);
  CHECK(warehouse.ask("SELECT string_agg(id, ' ' ORDER BY id) FROM campaigns") == "2 3");
}

TEST_CASE("json columns, which have no equality, are compared as text") {
  Warehouse warehouse;
  warehouse.psql(
      "CREATE SCHEMA marketing; CREATE TABLE marketing.insights (account_id text, date_start date, ad_id varchar(20), "
      "spend "
      "numeric, clicks int, actions json, PRIMARY KEY (account_id, date_start, ad_id))");
  const auto changes = warehouse.run(warehouse.sink().prepare(ads_table()));
  CHECK(changes.empty());
  publish(warehouse, {{"a"}, {"b"}});
  const auto counts = publish(warehouse, {{"a"}, {"b", "1.5", 1, "[]"}}).counts;
  CHECK(counts.unchanged == 1);
  CHECK(counts.updated == 1);
  CHECK(publish(warehouse, {{"a"}, {"b", "1.5", 3'000'000'000}}).counts.quarantined == 1);
}

TEST_CASE("a load that is dropped unpublished leaves nothing") {
  Prepared warehouse(ads_table(), GENERATE(false, true));
  const auto drop = [&]() -> task<void> {
    const auto load = co_await warehouse.sink().open(ads_table(), live(), march(1), "run-1", warehouse.clock.now());
    auto batch = insights_batch({{"a"}});
    co_await load->stage(batch);
  };
  warehouse.run(drop());
  CHECK(warehouse.rows().empty());
  CHECK(warehouse.ask("SELECT count(*) FROM _sluice_progress") == "0");
}
