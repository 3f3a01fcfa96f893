#include <catch2/catch.hpp>

#include "tests/sinks/conformance.hpp"

using namespace sluice;
using namespace sluice::conformance;
using namespace std::chrono_literals;
using Ends = Published::Outcome;

namespace {

const std::string by_key = "SELECT account_id, date_start, ad_id, impressions FROM insights ORDER BY 1, 2, 3";

GivenRow row(const char* account, int on, const char* ad, int impressions) {
  return {account, day(on), ad, impressions, "1.50", "an ad"};
}

std::vector<GivenRow> many(const char* account, int on, int count) {
  std::vector<GivenRow> rows;
  for (int i = 0; i < count; ++i)
    rows.push_back({account, day(on), std::to_string(i), i, "0.01", "ad " + std::to_string(i)});
  return rows;
}

}  // namespace

TEST_CASE_METHOD(Conformance, "any sink: the first load of a window inserts it and says who loaded it") {
  const auto table = insights();
  prepare(table);
  const auto done =
      load(table, march("a", 1), {row("a", 1, "1", 10), row("a", 1, "2", 20)}, {.run = "r1", .done_to = "2026-03-02"});
  CHECK(done.outcome == Ends::published);
  CHECK(done.version == 1);
  CHECK(done.counts.inserted == 2);
  CHECK(done.counts.balanced());
  CHECK(query(by_key) == Rows{"a|2026-03-01|1|10", "a|2026-03-01|2|20"});
  CHECK(query("SELECT DISTINCT _sluice_run, _sluice_slice FROM insights") == Rows{"r1|a/2026-03-01"});
  CHECK(one("SELECT count(*) FROM insights WHERE _sluice_loaded_at IS NOT NULL") == "2");
}

TEST_CASE_METHOD(
    Conformance,
    "any sink: a window read again is replaced: rows that are gone are deleted, the same ones are not written") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row("a", 1, "gone", 1), row("a", 1, "same", 2), row("a", 1, "changed", 3)},
       {.run = "r1"});
  const auto done = load(table, march("a", 1),
                         {row("a", 1, "same", 2), row("a", 1, "changed", 30), row("a", 1, "new", 4)}, {.run = "r2"});
  CHECK(done.counts.inserted == 1);
  CHECK(done.counts.updated == 1);
  CHECK(done.counts.unchanged == 1);
  CHECK(done.counts.deleted == 1);
  CHECK(done.counts.balanced());
  CHECK(query("SELECT ad_id, impressions, _sluice_run FROM insights ORDER BY 1") ==
        Rows{"changed|30|r2", "new|4|r2", "same|2|r1"});
}

TEST_CASE_METHOD(Conformance, "any sink: a value that becomes NULL, or stops to be, is a change") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {{"a", day(1), "1", nullptr, "1", "x"}, {"a", day(1), "2", 5, "1", "x"}});
  const auto done =
      load(table, march("a", 1), {{"a", day(1), "1", 7, "1", "x"}, {"a", day(1), "2", nullptr, "1", "x"}});
  CHECK(done.counts.updated == 2);
  CHECK(query("SELECT ad_id, impressions FROM insights ORDER BY 1") == Rows{"1|7", "2|~"});
}

TEST_CASE_METHOD(Conformance, "any sink: other windows and other partitions are not touched") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row("a", 1, "1", 1)});
  load(table, march("a", 2), {row("a", 2, "1", 2), row("a", 2, "2", 2)});
  load(table, march("a", 3), {row("a", 3, "1", 3)});
  load(table, march("b", 2), {row("b", 2, "1", 4)});
  const auto done = load(table, march("a", 2), {row("a", 2, "2", 2)});
  CHECK(done.counts.deleted == 1);
  CHECK(query(by_key) == Rows{"a|2026-03-01|1|1", "a|2026-03-02|2|2", "a|2026-03-03|1|3", "b|2026-03-02|1|4"});
}

TEST_CASE_METHOD(Conformance, "any sink: a window of several days is replaced as a whole") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1, 3), {row("a", 1, "1", 1), row("a", 2, "1", 2), row("a", 3, "1", 3)});
  load(table, march("a", 4), {row("a", 4, "1", 4)});
  load(table, march("a", 1, 3), {row("a", 2, "1", 2)});
  CHECK(query(by_key) == Rows{"a|2026-03-02|1|2", "a|2026-03-04|1|4"});
}

TEST_CASE_METHOD(Conformance,
                 "any sink: an empty answer for a window that has rows is asked for once more, then believed") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row("a", 1, "1", 1)}, {.done_to = "2026-03-02"});
  const auto first = load(table, march("a", 1), {}, {.done_to = "2026-03-05"});
  CHECK(first.outcome == Ends::confirm_empty);
  CHECK(one("SELECT count(*) FROM insights") == "1");
  CHECK(progress("a").version == 1);
  CHECK(progress("a").done_to == "2026-03-02");
  CHECK(one("SELECT count(*) FROM _sluice_loads") == "1");
  const auto second = load(table, march("a", 1), {}, {.believe_empty = true});
  CHECK(second.outcome == Ends::published);
  CHECK(second.counts.deleted == 1);
  CHECK(one("SELECT count(*) FROM insights") == "0");
}

TEST_CASE_METHOD(Conformance, "any sink: an empty answer for an empty window is published at once") {
  const auto table = insights();
  prepare(table);
  const auto done = load(table, march("a", 1), {}, {.done_to = "2026-03-02"});
  CHECK(done.outcome == Ends::published);
  CHECK(progress("a").done_to == "2026-03-02");
}

TEST_CASE_METHOD(Conformance, "any sink: a load can be published that never staged anything") {
  const auto table = insights();
  prepare(table);
  const auto slice = march("a", 1);
  const auto opened = open(table, slice);
  CHECK(publish(*opened, slice, 0).outcome == Ends::published);
}

TEST_CASE_METHOD(Conformance, "any sink: batches without rows change nothing, and many batches are one slice") {
  const auto table = insights();
  prepare(table);
  const auto slice = march("a", 1);
  const auto opened = open(table, slice);
  stage(*opened, table, {});
  const auto rows = many("a", 1, 5000);
  for (std::size_t at = 0; at < rows.size(); at += 1000)
    stage(*opened, table,
          {rows.begin() + static_cast<std::ptrdiff_t>(at), rows.begin() + static_cast<std::ptrdiff_t>(at) + 1000});
  stage(*opened, table, {});
  CHECK(publish(*opened, slice, 5000).counts.inserted == 5000);
  CHECK(one("SELECT count(*), sum(impressions) FROM insights") == "5000|12497500");
  CHECK(load(table, slice, rows).counts.unchanged == 5000);
}

TEST_CASE_METHOD(Conformance, "any sink: the same row twice is counted") {
  const auto table = insights();
  prepare(table);
  const auto done =
      load(table, march("a", 1), {row("a", 1, "1", 1), row("a", 1, "1", 1), row("a", 1, "2", 1), row("a", 1, "1", 1)});
  CHECK(done.counts.inserted == 2);
  CHECK(done.counts.duplicate == 2);
  CHECK(done.counts.balanced());
}

TEST_CASE_METHOD(Conformance,
                 "any sink: different rows under one key of a report fail the slice and name what differs") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row("a", 1, "old", 1)});
  const auto error = error_of([&] {
    load(table, march("a", 1), {{"a", day(1), "1", 1, "1.50", "x"}, {"a", day(1), "1", 2, "1.50", "y"}});
  });
  CHECK(error.remedy() == Remedy::give_up);
  CHECK_THAT(error.what(), Catch::Contains("impressions") && Catch::Contains("name") && !Catch::Contains("spend"));
  CHECK(query("SELECT ad_id FROM insights") == Rows{"old"});
  CHECK(progress("a").version == 1);
}

TEST_CASE_METHOD(Conformance, "any sink: a window that was read earlier never overwrites one read later") {
  const auto table = insights();
  prepare(table);
  const auto noon = subject->clock().now();
  load(table, march("a", 1), {row("a", 1, "1", 200)}, {.run = "late", .read_started = noon});
  const auto done = load(table, march("a", 1), {row("a", 1, "1", 100)},
                         {.run = "early", .lane = "backfill", .done_to = "2026-03-02", .read_started = noon - 1h});
  CHECK(done.outcome == Ends::superseded);
  CHECK(query("SELECT impressions, _sluice_run FROM insights") == Rows{"200|late"});
  CHECK(progress("a", "backfill").done_to == "2026-03-02");
  CHECK(progress("a", "backfill").version == 1);
  // Another account's window is another window.
  CHECK(load(table, march("b", 1), {row("b", 1, "1", 1)}, {.lane = "backfill", .read_started = noon - 1h}).outcome ==
        Ends::published);
}

TEST_CASE_METHOD(Conformance, "any sink: what was read while the clock was ahead overtakes nothing once it is right") {
  const auto table = insights();
  prepare(table);
  const auto now = subject->clock().now();
  load(table, march("a", 1), {row("a", 1, "1", 100)}, {.run = "ahead", .read_started = now + 5 * 24h});
  load(table, march("a", 2), {row("a", 2, "1", 100)}, {.run = "ahead", .read_started = now + 5 * 24h});
  const auto done = load(table, march("a", 1), {row("a", 1, "1", 200)}, {.run = "right", .read_started = now - 1h});
  CHECK(done.outcome == Ends::published);
  const std::vector<GivenRow> both{row("a", 1, "1", 100), row("a", 2, "1", 300)};
  CHECK(load(table, march("a", 1, 2), both, {.read_started = now - 30min}).counts.updated == 2);
  // As the clock was ahead the day had these rows; that is not how the table has them now.
  load(table, march("a", 1), {row("a", 1, "1", 200)}, {.read_started = now - 20min});
  CHECK(load(table, march("a", 1), {row("a", 1, "1", 100)}, {.read_started = now - 10min}).counts.updated == 1);
  CHECK(query("SELECT impressions FROM insights ORDER BY date_start") == Rows{"100", "300"});
}

TEST_CASE_METHOD(Conformance, "any sink: a window of which a part was read later is read again") {
  const auto table = insights();
  prepare(table);
  const auto noon = subject->clock().now();
  load(table, march("a", 2), {row("a", 2, "1", 200)}, {.read_started = noon});
  const std::vector<GivenRow> week{row("a", 1, "1", 100), row("a", 2, "1", 100)};
  const auto error =
      error_of([&] { load(table, march("a", 1, 7), week, {.lane = "backfill", .read_started = noon - 1h}); });
  CHECK(error.remedy() == Remedy::retry);
  CHECK(query(by_key) == Rows{"a|2026-03-02|1|200"});
  CHECK(progress("a", "backfill").version == 0);
  CHECK(load(table, march("a", 1, 7), week, {.lane = "backfill", .read_started = noon + 1h}).counts.updated == 1);
}

TEST_CASE_METHOD(Conformance,
                 "any sink: columns that a slice could not have keep their old values, and the ledger says so") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {{"a", day(1), "1", 10, "1.50", "kept"}, {"a", day(1), "2", 10, "1.50", "kept too"}});
  const auto done = load(table, march("a", 1),
                         {{"a", day(1), "1", 11, "1.50", nullptr},
                          {"a", day(1), "2", 10, "1.50", nullptr},
                          {"a", day(1), "3", 1, "2", nullptr}},
                         {.without = {"name"}});
  CHECK(done.counts.updated == 1);
  CHECK(done.counts.unchanged == 1);
  CHECK(query("SELECT ad_id, impressions, name FROM insights ORDER BY 1") ==
        Rows{"1|11|kept", "2|10|kept too", "3|1|~"});
  CHECK(query("SELECT complete FROM _sluice_loads ORDER BY started_at") ==
        Rows{subject->shown(Type::boolean, "true"), subject->shown(Type::boolean, "false")});
}

TEST_CASE_METHOD(Conformance, "any sink: a slice that its connector calls incomplete is marked in the ledger") {
  const auto table = insights();
  prepare(table);
  load(table, march("a", 1), {row("a", 1, "1", 1)}, {.complete = false});
  CHECK(one("SELECT complete FROM _sluice_loads") == subject->shown(Type::boolean, "false"));
}

TEST_CASE_METHOD(Conformance, "any sink: a load that is never published leaves nothing") {
  const auto table = insights();
  prepare(table);
  const auto before = subject->tables();
  {
    const auto lost = open(table, march("a", 1));
    stage(*lost, table, many("a", 1, 500));
  }
  CHECK(one("SELECT count(*) FROM insights") == "0");
  CHECK(one("SELECT count(*) FROM _sluice_loads") == "0");
  CHECK(progress("a").version == 0);
  CHECK(subject->tables() == before);
  CHECK(load(table, march("a", 1), {row("a", 1, "1", 1)}).counts.inserted == 1);
}

TEST_CASE_METHOD(Conformance, "any sink: two loads are staged side by side and do not see each other") {
  const auto table = insights();
  prepare(table);
  const auto first_slice = march("a", 1), second_slice = march("a", 2);
  const auto first = open(table, first_slice), second = open(table, second_slice);
  stage(*first, table, {row("a", 1, "1", 1)});
  stage(*second, table, {row("a", 2, "1", 2)});
  stage(*first, table, {row("a", 1, "2", 1)});
  CHECK(one("SELECT count(*) FROM insights") == "0");
  CHECK(publish(*second, second_slice, 1).counts.inserted == 1);
  CHECK(query(by_key) == Rows{"a|2026-03-02|1|2"});
  CHECK(publish(*first, first_slice, 2).counts.inserted == 2);
  CHECK(progress("a").version == 2);
}

TEST_CASE_METHOD(Conformance, "any sink: loads of different tables may follow each other") {
  const auto table = insights();
  prepare(table);
  prepare(campaigns());
  for (int i = 1; i < 4; ++i) {
    load(table, march("a", i), {row("a", i, "1", i)});
    load(campaigns(), Slice::whole(Partition("")), {{"c" + std::to_string(i), "x", nullptr}});
  }
  CHECK(one("SELECT count(*) FROM insights") == "3");
  CHECK(one("SELECT count(*) FROM campaigns") == "3");
}

TEST_CASE_METHOD(Conformance,
                 "any sink: a slice larger than what is kept in memory is loaded, and read again, as any other") {
  const auto table = insights();
  prepare(table);
  const auto slice = march("a", 1);
  const auto part = [](int from) {
    std::vector<GivenRow> rows;
    for (int i = from; i < from + 1000; ++i)
      rows.push_back({"a", day(1), std::to_string(i), i, "0.01", std::string(6000, static_cast<char>('a' + i % 26))});
    return rows;
  };
  for (const bool again : {false, true}) {
    const auto opened = open(table, slice);
    stage(*opened, table, part(1000));
    stage(*opened, table, part(0));
    stage(*opened, table, part(2000));
    stage(*opened, table, part(1000));
    const auto counts = publish(*opened, slice, 4000).counts;
    CHECK(counts.duplicate == 1000);
    CHECK(counts.inserted == (again ? 0 : 3000));
    CHECK(counts.unchanged == (again ? 3000 : 0));
  }
  CHECK(one("SELECT count(*), sum(impressions), sum(length(name)) FROM insights") == "3000|4498500|18000000");
}

namespace {

// Rows of an ad each, 6,000 bytes long; their page is read and handed over while earlier ones are sent.
std::vector<GivenRow> heavy(int from, int to) {
  std::vector<GivenRow> rows;
  for (int i = from; i < to; ++i)
    rows.push_back({"a", day(1), std::to_string(i), i, "0.01", std::string(6000, static_cast<char>('a' + i % 26))});
  return rows;
}

task<void> send(Load& load, bool& sending) {
  sending = true;
  co_await load.make_room();
  sending = false;
}

// `page` by `page` rows from `from` to `to` and, one page late, the same again, until all were added; counts the pages
// that were added while another task was sending.
task<int> keep_adding(Load& load, const Table& table, int from, int to, const bool& sending) {
  constexpr int page = 10;
  const auto executor = co_await asio::this_coro::executor;
  int meanwhile = 0;
  for (int at = from; at < to; at += page) {
    meanwhile += sending;
    load.add(batch_of(table, heavy(at, at + page)));
    if (at > from) load.add(batch_of(table, heavy(at - page, at - page + 1)));
    co_await asio::post(executor, asio::use_awaitable);
  }
  co_return meanwhile;
}

task<int> add_while_sending(Load& load, const Table& table) {
  bool sending = false;
  int meanwhile = 0;
  load.add(batch_of(table, heavy(0, 1000)));
  TaskGroup group(co_await asio::this_coro::executor);
  group.spawn(send(load, sending));
  group.spawn([](Load& l, const Table& t, const bool& s, int& count) -> task<void> {
    count = co_await keep_adding(l, t, 1000, 1500, s);
  }(load, table, sending, meanwhile));
  co_await group.join();
  co_return meanwhile;
}

}  // namespace

TEST_CASE_METHOD(Conformance, "any sink: rows that are added while earlier ones are sent are loaded once") {
  const auto table = insights();
  prepare(table);
  const auto slice = march("a", 1);
  for (const bool again : {false, true}) {
    const auto opened = open(table, slice);
    CHECK(subject->run(add_while_sending(*opened, table)) > 0);
    const auto counts = publish(*opened, slice, 1549).counts;
    CHECK(counts.duplicate == 49);
    CHECK(counts.inserted == (again ? 0 : 1500));
    CHECK(counts.unchanged == (again ? 1500 : 0));
  }
  CHECK(one("SELECT count(*), sum(impressions), sum(length(name)) FROM insights") == "1500|1124250|9000000");
}
