#include <catch2/catch.hpp>

#include "core/error.hpp"
#include "tests/sinks/postgres_fixture.hpp"

using namespace sluice;
using namespace sluice::test;
using namespace std::chrono_literals;

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

TEST_CASE("text that no database can hold is repaired and counted") {
  Prepared warehouse;
  auto batch = insights_batch({{std::string("a\0b\xff", 4), "1", 1, R"({"x":"\u0000\ud800"})"}});
  const auto publish_it = [&]() -> task<Published> {
    const auto load = co_await warehouse.sink().open(ads_table(), live(), march(1), "run-1", warehouse.clock.now());
    co_await load->stage(batch);
    Publication publication;
    publication.read = 1;
    co_return co_await load->publish(publication);
  };
  CHECK(warehouse.run(publish_it()).repaired == 4);
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
